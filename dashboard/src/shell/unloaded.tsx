/** What stands in for a page whose code could not be read. */
import type { JSX } from "preact";
import { Button, Notice, PageHead } from "../ui/basics";

export function Unloaded(): JSX.Element {
  return (
    <>
      <PageHead title="This page could not be loaded" />
      <Notice
        tone="bad"
        acts={
          <Button icon="retry" onClick={() => location.reload()}>
            Load it again
          </Button>
        }
      >
        The server does not answer, or it runs another version than the one you have open.
      </Notice>
    </>
  );
}
