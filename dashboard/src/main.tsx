/** Where it starts. */
import { render } from "preact";
import { App } from "./app";
import "./theme/theme.css";
import "./theme/shell.css";
import "./theme/parts.css";

const root = document.getElementById("app");
if (root) render(<App />, root);
