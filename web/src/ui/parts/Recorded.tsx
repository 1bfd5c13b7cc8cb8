// A recorded run: what says that it is one, and the ways to get one.
import { useRef } from "preact/hooks";
import { duration } from "../numbers.js";
import { failed } from "../state/faults.js";
import { phase } from "../state/phase.js";
import { leaveRecording, recording, replayFile, replayOwn, toTheEnd } from "../state/recording.js";
import { locale } from "../text/language.js";
import { text } from "../text/index.js";
import { Button } from "./Button.js";
import { Notice, Tag } from "./Notice.js";

/** Says, above a recorded run, that it is one. */
export function RecordedNotice() {
  const shown = recording.value;
  if (phase.value !== "recorded" || !shown) return null;
  const words = text.results.recorded;
  const date = shown.created === null ? null : new Intl.DateTimeFormat(locale(), { dateStyle: "long" }).format(shown.created);
  return (
    <div class="spaced">
      <Notice
        kind="warning"
        action={
          <>
            <Button onPress={toTheEnd}>{words.toItsEnd}</Button>
            <Button kind="quiet" onPress={leaveRecording}>
              {words.leave}
            </Button>
          </>
        }
      >
        <strong>{words.notice(shown.name)}</strong>
        {words.facts(date, shown.device, shown.seconds === null ? null : duration(shown.seconds))}
      </Notice>
    </div>
  );
}

/** A mark beside whatever figures are of a recorded run. */
export function RecordedMark() {
  return phase.value === "recorded" ? <Tag kind="warning">{text.results.recorded.mark}</Tag> : null;
}

/** Replays the page's own recorded run, or one from a file. */
export function Replay({ first = false }: { first?: boolean }) {
  const files = useRef<HTMLInputElement>(null);
  const words = text.results.recorded;
  return (
    <div class="row">
      <Button kind={first ? "first" : "plain"} onPress={replayOwn}>
        {words.replay}
      </Button>
      <Button kind="quiet" onPress={() => files.current?.click()}>
        {words.open}
      </Button>
      <input
        ref={files}
        type="file"
        hidden
        accept=".json,.jsonl"
        aria-label={words.file}
        onChange={({ currentTarget: input }) => {
          const file = input.files?.[0];
          input.value = "";
          if (file) replayFile(file).catch(failed);
        }}
      />
    </div>
  );
}
