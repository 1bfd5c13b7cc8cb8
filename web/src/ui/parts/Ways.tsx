import { useEffect } from "preact/hooks";
import { bytes } from "../numbers.js";
import { followWays, nameOf, present, take, taken, WAYS, type Way } from "../state/ways.js";
import { text } from "../text/index.js";

/** GPU memory in every way of training, as planned; a press takes one. */
export function Ways() {
  useEffect(followWays, []);
  const words = text.method.ways;
  const most = Math.max(1, ...[...taken.value.values()].map((one) => one?.bytes ?? 0));
  return (
    <div class="ways-of">
      <table>
        <caption>{words.caption}</caption>
        <thead>
          <tr>
            <th scope="col">{words.way}</th>
            <th scope="col">{words.kept}</th>
            <th scope="col">{words.again}</th>
          </tr>
        </thead>
        <tbody>
          {WAYS.map((way) => (
            <tr key={nameOf(way, false)}>
              <th scope="row">{words.names(way)}</th>
              {[false, true].map((checkpointing) => (
                <td key={String(checkpointing)}>
                  <Taking way={way} checkpointing={checkpointing} most={most} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Taking({ way, checkpointing, most }: { way: Way; checkpointing: boolean; most: number }) {
  const words = text.method.ways;
  const name = nameOf(way, checkpointing);
  const one = taken.value.get(name);
  if (one === undefined) return <span class="soft">…</span>;
  if (one === null) return <span class="soft" title={words.notHere}>–</span>;
  const size = bytes(one.bytes);
  return (
    <button
      type="button"
      aria-pressed={present() === name}
      data-over={one.fits ? undefined : true}
      title={one.fits ? undefined : text.method.doesNotFit}
      aria-label={words.label(words.names(way), checkpointing, size, one.fits)}
      onClick={() => take(way, checkpointing)}
    >
      <span class="number">{size}</span>
      <span class="share" aria-hidden="true">
        <span style={{ inlineSize: `${(100 * one.bytes) / most}%` }} />
      </span>
    </button>
  );
}
