/** Ctrl+K: go anywhere by typing; pages, queues, kinds, a job by its id, or a search. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useId, useMemo, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { get } from "../api/client";
import type { KindView, Listing } from "../api/types";
import { href, hrefWith } from "../config";
import { PAGES } from "../pages/registry";
import { readQueues } from "../state/queues";
import { can } from "../state/session";
import { quoted } from "../text/query";
import { Icon, type IconName } from "../ui/icons";
import { Dialog } from "../ui/overlay";

export const paletteOpen = signal(false);

interface Entry {
  title: string;
  hint: string;
  icon: IconName;
  to: string;
}

const MOST = 12;
const ID = /^[0-9a-f]{8}-[0-9a-f-]{27}$/i;

export function Palette(): JSX.Element | null {
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey)
        return;
      event.preventDefault();
      paletteOpen.value = !paletteOpen.value;
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
  return paletteOpen.value ? <Open /> : null;
}

function Open(): JSX.Element {
  const { route } = useLocation();
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const known = useKnown();
  const id = useId();
  const found = useMemo(() => find(known, text), [known, text]);
  const close = (): void => {
    paletteOpen.value = false;
  };
  const go = (entry: Entry | undefined): void => {
    if (!entry) return;
    close();
    route(entry.to);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "Enter") {
      event.preventDefault();
      go(found[at]);
    }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    if (found.length) setAt((at + (event.key === "ArrowDown" ? 1 : found.length - 1)) % found.length);
  };
  return (
    <Dialog title="Go to" onClose={close}>
      <div class="palette">
        <input
          type="text"
          role="combobox"
          aria-label="Where to"
          aria-expanded="true"
          aria-controls={id}
          aria-activedescendant={found.length ? `${id}-${at}` : undefined}
          autocomplete="off"
          placeholder="a page, a queue, a kind, the id of a job"
          value={text}
          ref={(box) => {
            if (box && document.activeElement?.tagName !== "INPUT") box.focus();
          }}
          onInput={(event) => {
            setText(event.currentTarget.value);
            setAt(0);
          }}
          onKeyDown={onKeyDown}
        />
        <div class="options" id={id} role="listbox" aria-label="Places">
          {found.map((entry, place) => (
            <div
              key={entry.to}
              id={`${id}-${place}`}
              role="option"
              tabIndex={-1}
              aria-selected={place === at}
              onPointerDown={(event) => {
                event.preventDefault();
                go(entry);
              }}
            >
              <Icon name={entry.icon} />
              <span class="cut">{entry.title}</span>
              <span class="dim small">{entry.hint}</span>
            </div>
          ))}
        </div>
      </div>
    </Dialog>
  );
}

/** Every place that has a name. */
function useKnown(): Entry[] {
  const [more, setMore] = useState<Entry[]>([]);
  useEffect(() => {
    const read = async (): Promise<void> => {
      const [queues, kinds] = await Promise.all([
        can("queues:read") ? readQueues() : null,
        can("kinds:read") ? get<Listing<KindView>>("/kinds") : null,
      ]);
      setMore([
        ...(queues?.items ?? []).map(
          ({ name }): Entry => ({ title: name, hint: "queue", icon: "queues", to: href("/queues", name) }),
        ),
        ...(kinds?.items ?? []).map(
          ({ name }): Entry => ({
            title: name,
            hint: "jobs of this kind",
            icon: "jobs",
            to: hrefWith("/jobs", { q: `kind:${quoted(name)}` }),
          }),
        ),
      ]);
    };
    read().catch(() => {}); // pages are found without it
  }, []);
  return useMemo(() => [...pages(), ...more], [more]);
}

function pages(): Entry[] {
  return PAGES.filter((page) => page.group && (!page.permission || can(page.permission))).map((page) => ({
    title: page.title,
    hint: page.key ? `g ${page.key}` : "page",
    icon: page.icon ?? "info",
    to: href(page.path),
  }));
}

function find(known: readonly Entry[], text: string): Entry[] {
  const wanted = text.trim();
  if (ID.test(wanted)) return [{ title: wanted, hint: "job", icon: "jobs", to: href("/jobs", wanted) }];
  const lower = wanted.toLowerCase();
  const found = known
    .filter((entry) => entry.title.toLowerCase().includes(lower))
    .sort((a, b) => Number(b.title.toLowerCase().startsWith(lower)) - Number(a.title.toLowerCase().startsWith(lower)))
    .slice(0, MOST);
  if (wanted && can("jobs:read"))
    found.push({ title: wanted, hint: "search jobs", icon: "search", to: hrefWith("/jobs", { q: wanted }) });
  return found;
}
