"""Official annotation files to validated person annotations: readers, repairs, validation, duplicates, downloads."""
