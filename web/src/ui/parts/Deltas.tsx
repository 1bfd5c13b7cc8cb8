import { useMemo, useRef } from "preact/hooks";
import { computed, useSignal, type Signal } from "@preact/signals";
import { Chart, type Line } from "../charts/Chart.js";
import type { Points } from "../charts/points.js";
import type { Delta, Progress } from "rootstock";
import { figures, percent } from "../numbers.js";
import { ask, progressTo } from "../state/engine.js";
import { Busy } from "./Busy.js";
import { Button } from "./Button.js";
import { SHADES } from "./heat.js";
import { LayerGrid } from "./LayerGrid.js";
import { text } from "../text/index.js";

/** The spectrum's line; the same while the language is. */
const spectrum = computed<readonly Line[]>(() => [{ name: text.use.singularValue, token: "leaf" }]);

/** The update of the weights: its size by layer and module, and the spectrum of the selected one. */
export function Deltas() {
  const deltas = useSignal<Delta[]>([]);
  const chosen = useSignal<string | null>(null);
  const progress = useSignal<Progress | null>(null);
  const abort = useRef<AbortController | null>(null);
  const look = async () => {
    abort.current = new AbortController();
    const { signal } = abort.current;
    try {
      deltas.value = await ask({ kind: "deltas" }, { ...progressTo((now) => (progress.value = now)), signal });
      const largest = deltas.value.toSorted((a, b) => share(b) - share(a))[0];
      chosen.value = largest?.name ?? null;
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      progress.value = null;
    }
  };
  const words = text.use;
  const shown = deltas.value.find(({ name }) => name === chosen.value);
  return (
    <section class="part" aria-labelledby="deltas">
      <h2 id="deltas">{words.update}</h2>
      <p>{words.updateText}</p>
      <div class="stack">
        {progress.value ? (
          <div class="row">
            <div class="grow">
              <Busy progress={progress.value} />
            </div>
            <Button onPress={() => abort.current?.abort()}>{text.shell.cancel}</Button>
          </div>
        ) : (
          deltas.value.length === 0 && (
            <div class="row">
              <Button onPress={look}>{words.compute}</Button>
            </div>
          )
        )}
        {deltas.value.length > 0 && <Grid deltas={deltas.value} chosen={chosen} />}
        {shown && <Spectrum key={shown.name} delta={shown} />}
      </div>
    </section>
  );
}

function share({ delta_norm, weight_norm }: Delta): number {
  return weight_norm > 0 ? delta_norm / weight_norm : 0;
}

function Grid({ deltas, chosen }: { deltas: Delta[]; chosen: Signal<string | null> }) {
  const most = Math.max(...deltas.map(share), Number.MIN_VALUE);
  return (
    <div class="scroll">
      <LayerGrid
        caption={text.use.largest(percent(most))}
        items={deltas}
        cell={(delta) => (
          <button
            type="button"
            class="token"
            data-heat={Math.round((share(delta) / most) * (SHADES - 1))}
            aria-pressed={chosen.value === delta.name}
            aria-label={`${delta.name}: ${percent(share(delta))}`}
            onClick={() => (chosen.value = delta.name)}
          >
            {percent(share(delta))}
          </button>
        )}
      />
    </div>
  );
}

function Spectrum({ delta }: { delta: Delta }) {
  const values = delta.singular_values;
  const words = text.use;
  const points = useSignal<Points>([values.map((_, index) => index + 1), values]);
  const energy = useMemo(() => values.reduce((sum, value) => sum + value * value, 0), [values]);
  const rank = (part: number) => {
    let sum = 0;
    const at = values.findIndex((value) => (sum += value * value) >= part * energy);
    return at < 0 ? values.length : at + 1;
  };
  return (
    <div class="two">
      <dl class="facts">
        <dt>{words.matrix}</dt>
        <dd>
          <code>{delta.name}</code>
        </dd>
        <dt>{words.shape}</dt>
        <dd>{delta.shape.join(" × ")}</dd>
        <dt>‖ΔW‖</dt>
        <dd>{figures(delta.delta_norm)}</dd>
        <dt>‖W‖</dt>
        <dd>{figures(delta.weight_norm)}</dd>
        {values.length > 0 && [
          <dt key="half">{words.rankOf(text.units.percent("50"))}</dt>,
          <dd key="half=">{rank(0.5)}</dd>,
          <dt key="most">{words.rankOf(text.units.percent("90"))}</dt>,
          <dd key="most=">{rank(0.9)}</dd>,
        ]}
      </dl>
      {values.length > 0 && (
        <figure>
          <figcaption>{words.singularCaption}</figcaption>
          <Chart label={words.singularLabel(delta.name)} lines={spectrum.value} points={points} x={words.rank} height={180} />
        </figure>
      )}
    </div>
  );
}
