"""Stage `dedupe`: rows to train on, without photographs that a validation split of any data set holds."""
