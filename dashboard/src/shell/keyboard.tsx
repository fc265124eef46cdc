/** Keys that work on every page, and the sheet that lists them. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { useLocation } from "preact-iso";
import { href } from "../config";
import { togglePause } from "../live/live";
import { PAGES } from "../pages/registry";
import { nextTheme } from "../state/prefs";
import { Dialog } from "../ui/overlay";
import { isTyping } from "../ui/table";

export const helpOpen = signal(false);

const KEYS: readonly [string, string][] = [
  ["Ctrl K", "go anywhere by typing"],
  ["/", "search"],
  ["j, k", "next and previous row"],
  ["x", "select the row"],
  ["Enter", "open the row"],
  ["r", "retry what is selected, or this job"],
  ["c", "cancel what is selected, or this job"],
  ["p", "pause and resume live updates"],
  ["t", "light, dark, as the system"],
  ["?", "this list"],
];

export function Keyboard(): JSX.Element | null {
  const { route } = useLocation();
  useEffect(() => {
    let going = false;
    const onKey = (event: KeyboardEvent): void => {
      if (isTyping(event) || document.querySelector("dialog[open]")) return;
      const page = going ? PAGES.find((each) => each.key === event.key) : undefined;
      going = event.key === "g" && !going;
      if (page) route(href(page.path));
      else if (event.key === "?") helpOpen.value = true;
      else if (event.key === "p") togglePause();
      else if (event.key === "t") nextTheme();
      else if (event.key === "/") {
        const box = document.querySelector<HTMLInputElement>("main [role=combobox]");
        if (!box) return;
        event.preventDefault();
        box.focus();
      }
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [route]);
  if (!helpOpen.value) return null;
  return (
    <Dialog title="Keyboard shortcuts" onClose={() => (helpOpen.value = false)}>
      <dl class="facts">
        {KEYS.map(([key, what]) => (
          <Row key={key} keys={key} what={what} />
        ))}
        {PAGES.filter((page) => page.key).map((page) => (
          <Row key={page.path} keys={`g ${page.key}`} what={`go to ${page.title}`} />
        ))}
      </dl>
    </Dialog>
  );
}

function Row({ keys, what }: { keys: string; what: string }): JSX.Element {
  return (
    <>
      <dt>
        <kbd>{keys}</kbd>
      </dt>
      <dd>{what}</dd>
    </>
  );
}
