/** Our own icons: 16 units square, one stroke, the colour of the text around them. */
import type { JSX } from "preact";

const PATHS = {
  overview: "M2 9.5h4v4.5H2zM6 5.5h4V14H6zM10 2h4v12h-4z",
  jobs: "M5.5 4H14M5.5 8H14M5.5 12H14M2.2 4h.1M2.2 8h.1M2.2 12h.1",
  errors: "M8 2l6.3 11.5H1.7zM8 6.5v3.2M8 11.6v.1",
  queues: "M2 4.5h12M2 8h12M2 11.5h7M12.2 10l2 1.6-2 1.6",
  workers:
    "M8 5.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6zM8 1.8v1.6M8 12.6v1.6M1.8 8h1.6M12.6 8h1.6M3.6 3.6l1.1 1.1M11.3 11.3l1.1 1.1M12.4 3.6l-1.1 1.1M4.7 11.3l-1.1 1.1",
  workflows: "M2 2.5h4v3H2zM10 6.5h4v3h-4zM2 10.5h4v3H2zM6 4h2v8H6M8 8h2",
  batches: "M2 5l6-3 6 3-6 3zM2 8l6 3 6-3M2 11l6 3 6-3",
  schedules: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zM8 4.8V8l2.4 1.6",
  metrics: "M2 2v12h12M4.5 10.5l3-3.5 2.4 2 3.6-4.8",
  limits: "M2.3 11.5a6 6 0 1 1 11.4 0M8 10.5l2.6-3.8M8 10.5h.1",
  alerts: "M8 2a4 4 0 0 1 4 4c0 4 1.7 5 1.7 5H2.3S4 10 4 6a4 4 0 0 1 4-4zM6.6 13.5a1.5 1.5 0 0 0 2.8 0",
  webhooks:
    "M5.5 8a2.5 2.5 0 1 0-2.4 3.4M5.3 10.9h5M10.9 8.4a2.5 2.5 0 1 1-.5 4.8M8 5.4L6 9M8 2.2a2.4 2.4 0 0 1 2.2 3.4L12 8.8",
  audit: "M4 2h6l3 3v9H4zM10 2v3h3M6.2 8h4M6.2 11h4",
  settings: "M2 4.5h5M10 4.5h4M2 11.5h3M8 11.5h6M8.5 3v3M6.5 10v3",
  search: "M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9zM10.4 10.4L14 14",
  close: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  menu: "M2 4h12M2 8h12M2 12h12",
  more: "M3 8h.1M8 8h.1M13 8h.1",
  pause: "M5 3v10M11 3v10",
  play: "M4.5 2.8v10.4L13 8z",
  retry: "M13 8a5 5 0 1 1-1.6-3.7M13.2 1.8v3.1h-3.1",
  cancel: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zM3.8 3.8l8.4 8.4",
  bin: "M2.5 4h11M6 4V2.3h4V4M4 4l.7 9.7h6.6L12 4M6.8 6.8v4.4M9.2 6.8v4.4",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  check: "M2.5 8.5l3.7 3.7 7.3-8",
  right: "M6 3l5 5-5 5",
  left: "M10 3L5 8l5 5",
  down: "M3 6l5 5 5-5",
  lock: "M3.5 7h9v7h-9zM5.5 7V5a2.5 2.5 0 0 1 5 0v2",
  unlock: "M3.5 7h9v7h-9zM5.5 7V5a2.5 2.5 0 0 1 4.8-1",
  sun: "M8 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1",
  moon: "M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z",
  half: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zM8 2v12M8 5l4.8-1M8 8h6M8 11l4.8 1",
  out: "M6 2.5H2.5v11H6M6 8h8M11 5l3 3-3 3",
  columns: "M2 2.5h12v11H2zM6 2.5v11M10 2.5v11",
  edit: "M2.5 13.5l.6-3L10.5 3l2.5 2.5-7.5 7.4z",
  info: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zM8 7.2v4M8 4.8v.1",
  plus: "M8 2.5v11M2.5 8h11",
  star: "M8 2l1.8 3.9 4.2.5-3.1 2.9.8 4.2L8 11.4l-3.7 2.1.8-4.2L2 6.4l4.2-.5z",
  bolt: "M9 1.5L3.5 9H8l-1 5.5L12.5 7H8z",
  keys: "M1.5 4h13v8h-13zM4 6.6h.1M6.6 6.6h.1M9.3 6.6h.1M12 6.6h.1M4.5 9.5h7",
} as const;

export type IconName = keyof typeof PATHS;

/** Decoration by default; with a `title` it is said aloud. */
export function Icon({ name, title }: { name: IconName; title?: string }): JSX.Element {
  return (
    <svg
      class="icon"
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      stroke-width="1.5"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden={title ? undefined : "true"}
      role={title ? "img" : undefined}
      aria-label={title}
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
