import { useSignal } from "@preact/signals";
import type { Given } from "../files.js";
import { bytes } from "../numbers.js";
import { Busy } from "../parts/Busy.js";
import { Button } from "../parts/Button.js";
import { Drop } from "../parts/Drop.js";
import { NoGpu } from "../parts/NoGpu.js";
import { Onward } from "../parts/Onward.js";
import { RunList } from "../parts/RunList.js";
import { Notice } from "../parts/Notice.js";
import { go, href } from "../route.js";
import { modelFolder, type BaseSource } from "rootstock";
import { base, cancelOpening, interrupted, keepStorage, open, opening, ready, runs, storage, toGiveAgain } from "../state/base.js";
import { failed, say } from "../state/faults.js";
import { active } from "../state/phase.js";
import { adopt, isAdapter } from "../state/tuned.js";

/** Opens a base and goes to its report. */
async function take(from: BaseSource, files?: Given[]): Promise<void> {
  if (active.value) throw new Error("A run is going on. Stop it first, then open another base.");
  await open(from, files);
  go("check");
}

/** Keeps an adapter that was given where a base is expected. */
async function takeAdapter(name: string, files: Given[]): Promise<void> {
  if (!ready.value) throw new Error(`${name} is an adapter, a part of a model: open the base that it was trained on first, then give it again.`);
  await adopt(name, files);
  go("use");
}

export function BaseStep() {
  const opened = base.value;
  return (
    <>
      <NoGpu />
      {opening.value && (
        <div class="row spaced">
          <div class="grow">
            <Busy progress={opening.value} />
          </div>
          <Button onPress={cancelOpening}>Cancel</Button>
        </div>
      )}
      {active.value && (
        <Notice kind="info" action={<a class="button" href={href("train")}>To Train</a>}>
          A run is going on. Another base can be opened when it is stopped or done.
        </Notice>
      )}
      {!active.value && runs.value.some(({ live }) => live) && (
        <Notice kind="info">
          A run goes on in another tab of this browser. It can be watched, paused and stopped there; here it cannot be deleted or resumed.
        </Notice>
      )}
      {!active.value && runs.value.some(interrupted) && (
        <Notice kind="info" action={<a class="button" href={href("train")}>To the interrupted run</a>}>
          A run was interrupted. Its last snapshot is kept, and it can go on from there.
        </Notice>
      )}
      <GiveAgain />
      <div class="bases">
        <section class="sheet stack tight" aria-labelledby="embedded">
          <h2 id="embedded">The village model</h2>
          <p>
            A million parameters, part of this page. It tells stories about a village and cannot answer questions yet: good for a first
            walk through all steps, which takes minutes.
          </p>
          <div class="row">
            <Button kind="first" disabled={active.value} onPress={() => take({ kind: "embedded" })}>
              Use the village model
            </Button>
          </div>
        </section>
        <section class="sheet stack tight" aria-labelledby="own">
          <h2 id="own">A model from this computer</h2>
          <p>
            A Hugging Face folder (<code>config.json</code>, safetensors, tokenizer) or a <code>.gguf</code> file. It is read where it
            lies, nothing is uploaded.
          </p>
          <Drop
            folders
            onFiles={(files) => {
              const folder = modelFolder(files);
              if (isAdapter(folder.files)) return takeAdapter(folder.name, folder.files);
              return take({ kind: "files", name: folder.name }, folder.files);
            }}
          >
            <span>Drop a folder or its files here, or</span>
          </Drop>
        </section>
        <Hub />
      </div>
      <section class="part">
        <h2>Kept in this browser</h2>
        <p>Runs of this page. They lie in the browser’s own storage for this site until deleted.</p>
        <RunList
          actions={(run) =>
            run.model &&
            run.usable && (
              <Button disabled={active.value} label={`Use ${run.name} as the base`} onPress={() => take({ kind: "run", id: run.id })}>
                Use as the base
              </Button>
            )
          }
        />
        <Stored />
      </section>
      {opened && (
        <Onward to="check">
          <small>
            Open: {opened.name}, {bytes(opened.files.reduce((sum, file) => sum + file.bytes, 0))}
          </small>
        </Onward>
      )}
    </>
  );
}

/** How full this site's storage is. */
function Stored() {
  const { usage = null, quota = null, persistent, refused } = storage.value ?? {};
  if (refused != null) {
    return (
      <div class="spaced">
        <Notice kind="warning">
          <strong>This browser stores nothing for this page</strong>, so what is kept here ends with the tab: take it home first.
          <small>{refused}</small>
        </Notice>
      </div>
    );
  }
  if (usage === null || quota === null) return null;
  return (
    <div class="row spaced">
      <small>
        {bytes(usage)} of the {bytes(quota)} that this browser allows are in use.
        {persistent === false && " The browser may clear them when the disk is full, unless it promises to keep them."}
      </small>
      {persistent === false && (
        <Button
          onPress={async () => {
            const kept = await keepStorage();
            say(kept ? "The browser keeps them." : "The browser promises nothing.");
            if (!kept) throw new Error("The browser promises nothing: it grants this to sites that are used often or installed. Take home what you want to keep.");
          }}
        >
          Ask the browser to keep them
        </Button>
      )}
    </div>
  );
}

/** The base of the last visit, which only the user can give again. */
function GiveAgain() {
  const source = toGiveAgain.value;
  if (source === null || base.value !== null) return null;
  if (source.kind === "url") {
    return (
      <div class="spaced">
        <Notice kind="info" action={<Button onPress={() => take(source)}>Fetch it again</Button>}>
          The base of your last visit was <strong>{source.url}</strong>, from the network.
        </Notice>
      </div>
    );
  }
  if (source.kind !== "files") return null;
  return (
    <div class="spaced">
      <Notice kind="info">
        The base of your last visit was the folder <strong>{source.name}</strong>. A page may not open folders by itself: choose it again below.
      </Notice>
    </div>
  );
}

function Hub() {
  const id = useSignal("");
  const fetchIt = () => take({ kind: "url", url: id.value.trim() });
  const disabled = active.value || opening.value !== null || id.value.trim() === "";
  return (
    <section class="sheet stack tight" aria-labelledby="hub">
      <h2 id="hub">A model from the network</h2>
      <p>A Hugging Face id or the address of a folder. Only now, and only for this, the network is used.</p>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          if (!disabled) fetchIt().catch(failed);
        }}
      >
        <label class="unseen" for="hub-id">
          Hub id or address
        </label>
        <input
          id="hub-id"
          class="grow"
          type="text"
          autocomplete="off"
          spellcheck={false}
          placeholder="HuggingFaceTB/SmolLM2-135M"
          value={id.value}
          onInput={(event) => (id.value = event.currentTarget.value)}
        />
        <Button disabled={disabled} onPress={fetchIt}>
          Fetch
        </Button>
      </form>
    </section>
  );
}
