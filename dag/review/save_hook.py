"""Hook into the App's server that derives review decisions whenever the Annotate tab saves a sample.

FiftyOne 1.22.1 has no supported hook for this. The Annotate tab sends PATCH requests to `/dataset/{id}/sample/{id}`,
whose endpoints (`fiftyone/server/routes/sample.py`) store the sample by the function `save_sample` of that module.
Decisions must be derived before the sample is stored, because an edit may be refused, and be on disk before the request
is answered, because the App then reports the edit as saved. The supported extension points do not serve:

- Operators (`operators/operator.py`, `OperatorConfig`) run when a user calls them, and `on_startup` or
  `on_dataset_open`; saving a label runs none. Our plugin uses them for the keys and the form.
- Panels (`operators/panel.py`) get `on_load`, `on_unload` and `on_change_*` of the context, dataset, view, spaces,
  current sample, selection, group slice, query performance and active fields; none for a saved sample or label.
- Save methods: `save_sample` calls `replace_one` on the dataset's collection, not `Sample.save`. `core/sample.py`,
  `core/document.py` and `core/odm/` emit no signals, and `load_dataset` has no option for a class of our own.
- Execution store notifications (`operators/store/notification_service.py`) watch the collection of the execution store
  alone. A MongoDB change stream on the samples needs a replica set; it and polling `last_modified_at` see an edit only
  after it was stored.
- The App's JavaScript (`server/static/assets/src-*.js`) emits `annotation:persistenceSuccess`, but after the server has
  answered, and the modules for plugins (`window.__fos__`, `__foo__`, `__foa__`, ...) do not export this event bus.
- Starlette middleware or a route of our own before FiftyOne's is outside FiftyOne's interface, too. It would have to
  repeat the endpoints' checks, patching and entity tags for samples and for patches views.
"""

from typing import Any

import fiftyone as fo
from starlette.exceptions import HTTPException

from dag.review.joint_boxes import save_with_decisions


def install_save_hook() -> None:
    """Replace `get_sample` and `save_sample` of FiftyOne's sample routes in this process.

    Saved samples pass through `save_with_decisions`; an edit that is not allowed is answered with status 400. A request
    based on an outdated sample is answered with 409 instead of 412 and the stored sample: on the latter, the App
    overwrites every value that differs from the one it shows.
    """
    from fiftyone.server.exceptions import DbVersionMismatchError
    from fiftyone.server.routes import sample as routes

    original_get, original_save = routes.get_sample, routes.save_sample

    def get_sample(dataset_id: str, sample_id: str, if_last_modified_at: Any) -> fo.Sample:
        try:
            return original_get(dataset_id, sample_id, if_last_modified_at)
        except DbVersionMismatchError:
            raise HTTPException(409, "the image was changed elsewhere: reload the page") from None

    def save_sample(sample: fo.Sample, if_last_modified_at: Any) -> str:
        try:
            return save_with_decisions(sample, lambda: original_save(sample, if_last_modified_at))
        except ValueError as error:
            raise HTTPException(400, str(error)) from None

    routes.get_sample, routes.save_sample = get_sample, save_sample
