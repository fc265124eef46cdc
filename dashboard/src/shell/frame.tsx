/** The navigation at the side and the line on top. */
import type { JSX } from "preact";
import { useLocation } from "preact-iso";
import { config, href } from "../config";
import { cut, paused, status, togglePause } from "../live/live";
import { PAGES, type Page } from "../pages/registry";
import { readFiring } from "../state/firing";
import { useLoad } from "../state/load";
import { locked, nextTheme, theme } from "../state/prefs";
import { readQueues } from "../state/queues";
import { can, session, signOut } from "../state/session";
import { compact, plural } from "../text/format";
import { IconButton } from "../ui/basics";
import { Icon, type IconName } from "../ui/icons";
import { attempt } from "../ui/overlay";
import { helpOpen } from "./keyboard";
import { paletteOpen } from "./palette";

const GROUPS = ["Watch", "Run", "Measure", "Keep"] as const;

export function Navigation({ open, close }: { open: boolean; close: () => void }): JSX.Element {
  const { path } = useLocation();
  const shown = PAGES.filter((page) => page.group && (!page.permission || can(page.permission)));
  return (
    <>
      {open && <button type="button" class="scrim" aria-label="Close the menu" onClick={close} />}
      <div class={`side ${open ? "open" : ""}`}>
        <a class="brand" href={href("/")}>
          <Mark />
          Windlass
        </a>
        <nav class="nav" aria-label="Pages">
          {GROUPS.map((group) => {
            const own = shown.filter((page) => page.group === group);
            if (!own.length) return null;
            return (
              <div key={group}>
                <h2>{group}</h2>
                <ul>
                  {own.map((page) => (
                    <li key={page.path}>
                      <NavLink page={page} here={isHere(page, path)} />
                    </li>
                  ))}
                </ul>
              </div>
            );
          })}
        </nav>
        <Foot />
      </div>
    </>
  );
}

function isHere(page: Page, path: string): boolean {
  const address = (config.base + page.path).replace(/\/$/, "") || "/";
  return path === address || (page.path !== "/" && path.startsWith(`${address}/`));
}

function NavLink({ page, here }: { page: Page; here: boolean }): JSX.Element {
  return (
    <a href={href(page.path)} aria-current={here ? "page" : undefined}>
      <Icon name={page.icon ?? "info"} />
      {page.title}
      {page.file === "errors" && can("queues:read") && <FailedCount />}
      {page.file === "alerts" && can("alerts:read") && <FiringCount />}
    </a>
  );
}

function FailedCount(): JSX.Element | null {
  const { data } = useLoad(readQueues, [], { every: 3000 });
  const failed = data?.items.reduce((sum, queue) => sum + (queue.counts.failed ?? 0), 0);
  if (!failed) return null;
  return (
    <span class="tail bad" title={`${failed} dead letters`}>
      {compact(failed)}
    </span>
  );
}

function FiringCount(): JSX.Element | null {
  const { data } = useLoad(readFiring, [], { on: () => false, period: 10_000 });
  if (!data?.items.length) return null;
  return (
    <span class="tail bad" title={`${plural(data.items.length, "alert")} firing`}>
      {compact(data.items.length)}
    </span>
  );
}

function Foot(): JSX.Element {
  const me = session.value?.me;
  return (
    <div class="foot">
      <span class="row">
        <span class="cut grow" title={me?.key ? `key ${me.key}` : undefined}>
          {me?.user} · {me?.role}
        </span>
        {session.value?.by === "session" && <IconButton icon="out" label="Sign out" onClick={() => attempt(signOut)} />}
      </span>
      {me?.project && <span>project {me.project}</span>}
      <span>version {config.version}</span>
    </div>
  );
}

function Mark(): JSX.Element {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="var(--accent-strong)" />
      <g fill="none" stroke="#fff" stroke-width="2.4" stroke-linecap="round">
        <circle cx="16" cy="16" r="6" />
        <path d="M16 4v6M16 22v6M4 16h6M22 16h6M7.5 7.5l4.3 4.3M20.2 20.2l4.3 4.3" />
      </g>
    </svg>
  );
}

const WORDS: Record<string, [string, string]> = {
  connecting: ["Connecting", "the stream of events is being opened"],
  live: ["Live", "changes are shown as they happen"],
  polling: ["Live, every 3 s", "events are asked for every 3 seconds"],
  reading: ["Every 4 s", "what is on screen is read again every 4 seconds"],
  reconnecting: ["Reconnecting", "the server does not answer; it is tried again by itself"],
  paused: ["Paused", "nothing changes on screen until you resume"],
  hidden: ["Hidden", ""],
};

const THEMES: Record<string, IconName> = { system: "half", light: "sun", dark: "moon" };

export function TopLine({ openMenu }: { openMenu: () => void }): JSX.Element {
  const found = status.value;
  const [word, title] = WORDS[found] ?? WORDS.connecting!;
  const tone = found === "polling" || found === "reading" ? "live" : found;
  return (
    <>
      <header class="top">
        <IconButton icon="menu" label="Open the menu" class="menu-button" onClick={openMenu} />
        <span class="live" data-status={tone} title={title}>
          <span class="dot" />
          <span class="words">{word}</span>
        </span>
        <IconButton
          icon={paused.value ? "play" : "pause"}
          label={paused.value ? "Resume live updates" : "Pause live updates"}
          onClick={togglePause}
        />
        <span class="grow" />
        <button type="button" class="button small plain go-to" onClick={() => (paletteOpen.value = true)}>
          <Icon name="search" />
          Go to <kbd>Ctrl K</kbd>
        </button>
        {session.value?.read_only ? (
          <span class="pill" title="this API takes no changes">
            <Icon name="lock" /> read-only
          </span>
        ) : (
          <IconButton
            icon={locked.value ? "lock" : "unlock"}
            label={locked.value ? "Unlock changes in this browser" : "Lock: look, but change nothing"}
            pressed={locked.value}
            onClick={() => {
              locked.value = !locked.value;
            }}
          />
        )}
        <IconButton icon={THEMES[theme.value] ?? "half"} label={`Theme: ${theme.value}`} onClick={nextTheme} />
        <IconButton icon="keys" label="Keyboard shortcuts" onClick={() => (helpOpen.value = true)} />
      </header>
      {cut.value && (
        <div class="banner" role="status">
          <Icon name="errors" /> The server does not answer. What you see is as it was; it is tried again by itself.
        </div>
      )}
    </>
  );
}
