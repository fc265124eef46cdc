/** The page for those whom the API does not know. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { signIn } from "../state/session";
import { Button, Card, Command, Failure } from "../ui/basics";

export function SignIn(): JSX.Element {
  const [credential, setCredential] = useState("");
  const [error, setError] = useState<Error | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await signIn(credential);
    } catch (problem) {
      setError(problem as Error);
      setBusy(false);
    }
  };
  return (
    <main class="sign-in">
      <form onSubmit={submit} class="stack">
        <h1>Sign in to Windlass</h1>
        <Card>
          <div class="stack">
            <label class="field">
              API key or token
              <input
                type="password"
                name="credential"
                autocomplete="current-password"
                required
                value={credential}
                onInput={(event) => setCredential(event.currentTarget.value)}
              />
            </label>
            {error && <Failure error={error} />}
            <Button kind="main" submit disabled={busy || !credential.trim()}>
              Sign in
            </Button>
          </div>
        </Card>
        <p class="small soft">
          It is exchanged for a cookie that scripts cannot read, and kept nowhere else. Whoever runs the server makes a
          key by
        </p>
        <Command text="windlass keys create NAME --role operator" />
      </form>
    </main>
  );
}
