import { href, route } from "../route.js";

/** Leads to the parts of a long step, by the ids of their headings. */
export function Contents({ label, parts }: { label: string; parts: readonly (readonly [id: string, name: string])[] }) {
  const to = (event: Event, id: string) => {
    event.preventDefault(); // the address names the step
    const heading = document.getElementById(id);
    if (!heading) return;
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    (heading.closest("section") ?? heading).scrollIntoView({ block: "start" });
  };
  return (
    <nav class="contents" aria-label={label}>
      <ul>
        {parts.map(([id, name]) => (
          <li key={id}>
            <a href={href(route.value)} onClick={(event) => to(event, id)}>
              {name}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}
