// Light or dark theme: the system's, unless the user chose one, which this browser stores.
import { effect, signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";

const KEY = "rootstock.theme";

function kept(): Theme {
  const value = read();
  return value === "light" || value === "dark" ? value : "auto";
}

/** Reads the stored choice. If storage is disabled, the choice lasts as long as the page. */
function read(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export const theme = signal<Theme>(kept());

/** Incremented when the colours change, because canvases must then be repainted. */
export const repaint = signal(0);

/** Applies the theme to the document, now and whenever it changes. */
export function applyTheme(): void {
  effect(() => {
    const value = theme.value;
    if (value === "auto") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = value;
    try {
      if (value === "auto") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, value);
    } catch {
      // kept for this page only
    }
    repaint.value = repaint.peek() + 1;
  });
  for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) matchMedia(query).addEventListener("change", () => (repaint.value += 1));
}

/** The colour of a design token, in a form that the canvas accepts. */
export function colour(token: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(--${token})`;
  // Lines are told apart by their colours, which forced colours would make one.
  probe.style.setProperty("forced-color-adjust", "none");
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
