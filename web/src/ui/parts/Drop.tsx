import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { filesOf, type Given } from "../files.js";
import { failed } from "../state/faults.js";
import { Button } from "./Button.js";
import { text } from "../text/index.js";

interface DropProps {
  /** Receives the files, with their paths relative to what was dropped or picked. */
  onFiles: (files: Given[]) => unknown;
  /** Also offer a folder picker. */
  folders?: boolean;
  /** The `accept` attribute of the file input. */
  accept?: string;
  children: ComponentChildren;
}

/** Turns a file input into a folder picker: supported by every browser, but missing from the standard types. */
const WHOLE_FOLDERS = { webkitdirectory: true };

/** A drop area for files or folders, with buttons that open a picker. */
export function Drop({ onFiles, folders = false, accept, children }: DropProps) {
  const over = useSignal(false);
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const give = async (found: Promise<Given[]>) => {
    try {
      const list = await found;
      if (list.length > 0) await onFiles(list);
    } catch (error) {
      failed(error);
    }
  };
  const picked = (input: HTMLInputElement) => {
    const list = Array.from(input.files ?? [], (file) => ({ path: file.webkitRelativePath || file.name, file }));
    input.value = ""; // so that picking the same files again fires `change`
    void give(Promise.resolve(list));
  };
  return (
    <div
      class="drop"
      data-over={over.value || undefined}
      onDragOver={(event) => {
        event.preventDefault();
        over.value = true;
      }}
      onDragLeave={() => (over.value = false)}
      onDrop={(event) => {
        event.preventDefault();
        over.value = false;
        if (event.dataTransfer) void give(filesOf(event.dataTransfer));
      }}
    >
      {children}
      <div class="row">
        {folders && <Button onPress={() => folder.current?.click()}>{text.base.chooseFolder}</Button>}
        <Button onPress={() => files.current?.click()}>{text.base.chooseFiles}</Button>
      </div>
      <input ref={files} type="file" multiple hidden accept={accept} onChange={(e) => picked(e.currentTarget)} />
      {folders && <input ref={folder} type="file" hidden {...WHOLE_FOLDERS} onChange={(e) => picked(e.currentTarget)} />}
    </div>
  );
}
