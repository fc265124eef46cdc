/** The worker around `lay`. */
import { type LayoutAsked, lay } from "./layout";

addEventListener("message", (event: MessageEvent<{ number: number; asked: LayoutAsked }>) => {
  postMessage({ number: event.data.number, layout: lay(event.data.asked) });
});
