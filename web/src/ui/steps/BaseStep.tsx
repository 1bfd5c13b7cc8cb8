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
import { folder, openAgain, rememberFolder } from "../state/folder.js";
import { active } from "../state/phase.js";
import { adopt, isAdapter } from "../state/tuned.js";
import { text } from "../text/index.js";
import { English } from "../parts/English.js";

/** Opens a base and goes to its report. */
async function take(from: BaseSource, files?: Given[], folder: FileSystemDirectoryHandle | null = null): Promise<void> {
  if (active.value) throw new Error(text.base.runGoesOn);
  await open(from, files);
  await rememberFolder(from.kind === "files" && folder ? { name: from.name, handle: folder } : null);
  go("check");
}

/** Keeps an adapter that was given where a base is expected. */
async function takeAdapter(name: string, files: Given[]): Promise<void> {
  if (!ready.value) throw new Error(text.base.isAnAdapter(name));
  await adopt(name, files);
  go("use");
}

export function BaseStep() {
  const opened = base.value;
  const words = text.base;
  return (
    <>
      <NoGpu />
      {opening.value && (
        <div class="row spaced">
          <div class="grow">
            <Busy progress={opening.value} />
          </div>
          <Button onPress={cancelOpening}>{text.shell.cancel}</Button>
        </div>
      )}
      {active.value && (
        <Notice kind="info" action={<a class="button" href={href("train")}>{text.shell.to(text.shell.steps.train)}</a>}>
          {words.whileRunning}
        </Notice>
      )}
      {!active.value && runs.value.some(({ live }) => live) && (
        <Notice kind="info">{words.inAnotherTab}</Notice>
      )}
      {!active.value && runs.value.some(interrupted) && (
        <Notice kind="info" action={<a class="button" href={href("train")}>{text.home.toTheInterrupted}</a>}>
          {text.home.interrupted}
        </Notice>
      )}
      <GiveAgain />
      <div class="bases">
        <section class="sheet stack tight" aria-labelledby="embedded">
          <h2 id="embedded">{words.village}</h2>
          <p>{words.villageText}</p>
          <div class="row">
            <Button kind="first" disabled={active.value} onPress={() => take({ kind: "embedded" })}>
              {words.useVillage}
            </Button>
          </div>
        </section>
        <section class="sheet stack tight" aria-labelledby="own">
          <h2 id="own">{words.own}</h2>
          <p>{words.ownText}</p>
          <Drop
            folders
            onFiles={(files, handle) => {
              const folder = modelFolder(files);
              if (isAdapter(folder.files)) return takeAdapter(folder.name, folder.files);
              return take({ kind: "files", name: folder.name }, folder.files, handle);
            }}
          >
            <span>{words.dropFolder}</span>
          </Drop>
        </section>
        <Hub />
      </div>
      <section class="part">
        <h2>{words.kept}</h2>
        <p>{words.keptText}</p>
        <RunList
          actions={(run) =>
            run.model &&
            run.usable && (
              <Button disabled={active.value} label={words.useRunAsBase(run.name)} onPress={() => take({ kind: "run", id: run.id })}>
                {words.useAsBase}
              </Button>
            )
          }
        />
        <Stored />
      </section>
      {opened && (
        <Onward to="check">
          <small>{words.openNow(opened.name, bytes(opened.files.reduce((sum, file) => sum + file.bytes, 0)))}</small>
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
          {text.base.storesNothing}
          <small>
            <English>{refused}</English>
          </small>
        </Notice>
      </div>
    );
  }
  if (usage === null || quota === null) return null;
  return (
    <div class="row spaced">
      <small>
        {text.base.storageUsed(bytes(usage), bytes(quota))}
        {persistent === false && text.base.mayClear}
      </small>
      {persistent === false && (
        <Button
          onPress={async () => {
            const kept = await keepStorage();
            say(kept ? text.base.keepsThem : text.base.promisesNothing);
            if (!kept) throw new Error(text.base.promisesNothingWhy);
          }}
        >
          {text.base.askToKeep}
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
        <Notice kind="info" action={<Button onPress={() => take(source)}>{text.base.fetchAgain}</Button>}>
          {text.base.lastFromNetwork(source.url)}
        </Notice>
      </div>
    );
  }
  if (source.kind !== "files") return null;
  const known = folder.value;
  if (known?.name === source.name) {
    const again = async () => {
      const { name, files } = modelFolder(await openAgain(known));
      await take({ kind: "files", name }, files, known.handle);
    };
    return (
      <div class="spaced">
        <Notice
          kind="info"
          action={
            <Button kind="first" onPress={again}>
              {text.results.folder.again}
            </Button>
          }
        >
          {text.results.folder.last(source.name)}
        </Notice>
      </div>
    );
  }
  return (
    <div class="spaced">
      <Notice kind="info">{text.base.lastFolder(source.name)}</Notice>
    </div>
  );
}

function Hub() {
  const id = useSignal("");
  const fetchIt = () => take({ kind: "url", url: id.value.trim() });
  const disabled = active.value || opening.value !== null || id.value.trim() === "";
  return (
    <section class="sheet stack tight" aria-labelledby="hub">
      <h2 id="hub">{text.base.hub}</h2>
      <p>{text.base.hubText}</p>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          if (!disabled) fetchIt().catch(failed);
        }}
      >
        <label class="unseen" for="hub-id">
          {text.base.hubId}
        </label>
        <input
          id="hub-id"
          class="hub-id"
          type="text"
          autocomplete="off"
          spellcheck={false}
          placeholder="HuggingFaceTB/SmolLM2-135M"
          value={id.value}
          onInput={(event) => (id.value = event.currentTarget.value)}
        />
        <Button disabled={disabled} onPress={fetchIt}>
          {text.base.fetchIt}
        </Button>
      </form>
    </section>
  );
}
