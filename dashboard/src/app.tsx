/** The frame: who is it, the navigation, the page of the address. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ErrorBoundary, LocationProvider, Route, Router, useLocation } from "preact-iso";
import { config } from "./config";
import { beLive, endLive } from "./live/live";
import { PAGES } from "./pages/registry";
import { BulkTray } from "./shell/bulk-tray";
import { Navigation, TopLine } from "./shell/frame";
import { Keyboard } from "./shell/keyboard";
import { Palette } from "./shell/palette";
import { SignIn } from "./shell/sign-in";
import { can, failure, readSession, session } from "./state/session";
import { Empty, Failure, PageHead, Skeleton } from "./ui/basics";
import { Overlays } from "./ui/overlay";

export function App(): JSX.Element {
  useEffect(() => {
    void readSession();
  }, []);
  const found = session.value;
  if (failure.value && !found) {
    return (
      <main class="sign-in">
        <Failure error={failure.value} retry={readSession} />
      </main>
    );
  }
  if (!found) return <main class="page" aria-busy="true" />;
  if (!found.signed_in) return <SignIn />;
  return (
    <LocationProvider scope={config.base || "/"}>
      <Shell />
    </LocationProvider>
  );
}

/** Milliseconds after which the code of the other pages is read: later than anything that the first page needs. */
const PRELOAD = 2500;

function Shell(): JSX.Element {
  const [open, setOpen] = useState(false);
  const [broken, setBroken] = useState<Error | null>(null);
  const { path } = useLocation();
  useEffect(() => {
    beLive();
    const timer = setTimeout(() => {
      for (const page of PAGES) if (!page.permission || can(page.permission)) void page.preload();
    }, PRELOAD);
    return () => {
      clearTimeout(timer);
      endLive();
    };
  }, []);
  useEffect(() => {
    setOpen(false);
    setBroken(null);
  }, [path]);
  return (
    <div class="shell">
      <button type="button" class="button skip" onClick={() => document.querySelector<HTMLElement>("main h1")?.focus()}>
        Skip to the content
      </button>
      <Navigation open={open} close={() => setOpen(false)} />
      <div class="content">
        <TopLine openMenu={() => setOpen(true)} />
        <main class="page" key={broken ? "broken" : "whole"}>
          {broken ? (
            <Failure error={broken} retry={() => setBroken(null)} />
          ) : (
            <ErrorBoundary onError={setBroken}>
              <Pages />
            </ErrorBoundary>
          )}
        </main>
      </div>
      <BulkTray />
      <Overlays />
      <Keyboard />
      <Palette />
    </div>
  );
}

function Pages(): JSX.Element {
  const [loading, setLoading] = useState(false);
  return (
    <>
      {loading && <Skeleton lines={3} />}
      <Router
        onLoadStart={() => setLoading(true)}
        onLoadEnd={() => setLoading(false)}
        onRouteChange={() => document.querySelector<HTMLElement>("main h1")?.focus({ preventScroll: true })}
      >
        {PAGES.filter((page) => !page.permission || can(page.permission)).map((page) => (
          <Route key={page.path} path={config.base + page.path} component={page.component} />
        ))}
        <Route default component={Nowhere} />
      </Router>
    </>
  );
}

function Nowhere(): JSX.Element {
  return (
    <>
      <PageHead title="Nothing here" />
      <Empty title="There is no such page, or it is not for your role">
        <a href={`${config.base}/`}>Go to the overview</a>
      </Empty>
    </>
  );
}
