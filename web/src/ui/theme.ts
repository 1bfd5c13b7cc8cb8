// Light or dark: the system's choice unless the person made one, which this browser keeps.
import { effect, signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";

const KEY = "rootstock.theme";

function kept(): Theme {
  const value = read();
  return value === "light" || value === "dark" ? value : "auto";
}

/** Storage may be switched off; then the choice lasts as long as the page. */
function read(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export const theme = signal<Theme>(kept());

/** Grows when the colours change: what is painted on a canvas has to be painted again. */
export const repaint = signal(0);

/** Puts the choice on the document, now and whenever it changes. */
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
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (repaint.value += 1));
}

/** A token's colour as the canvas understands it. */
export function colour(token: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(--${token})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
