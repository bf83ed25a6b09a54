// Keys in the open image: a accept, d reject, u back to the queue, e form with all joints of the person.
const { Operator, OperatorConfig, executeOperator, registerOperator } = window.__foo__;

document.addEventListener("keydown", (event) => {
  const choice = { a: "accept", d: "reject", u: "queued", e: "form" }[event.key];
  const typing = event.target.closest?.("input, textarea, [contenteditable=true]");
  const modal = document.querySelector('[data-cy="modal"]');
  const form = document.querySelector('[data-cy="operators-prompt-modal"]');
  if (!choice || !modal || form || typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  executeOperator("@dag/review/decide_selected", { choice });
});

// The App redraws an open image only when it receives the sample.
class RefreshSample extends Operator {
  get config() {
    return new OperatorConfig({ name: "refresh_sample", label: "Refresh the open image", unlisted: true });
  }
  useHooks() {
    return { refresh: window.__fos__.useRefreshSample() };
  }
  async execute({ hooks, params }) {
    hooks.refresh(params.sample);
  }
}
registerOperator(RefreshSample, "@dag/review");
