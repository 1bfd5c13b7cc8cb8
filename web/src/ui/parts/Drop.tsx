import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { filesOf, type Given } from "../files.js";
import { failed } from "../state/faults.js";
import { Button } from "./Button.js";

interface DropProps {
  /** Files with their paths below what was dropped or picked. */
  onFiles: (files: Given[]) => unknown;
  /** Offer a picker of folders too. */
  folders?: boolean;
  /** As an input's `accept`. */
  accept?: string;
  children: ComponentChildren;
}

/** Makes a file input a picker of folders: in every browser, and in no standard's types. */
const WHOLE_FOLDERS = { webkitdirectory: true };

/** A place to drop files or folders on, with the buttons that do the same. */
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
    input.value = ""; // the same choice again is a choice again
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
        {folders && <Button onPress={() => folder.current?.click()}>Choose a folder …</Button>}
        <Button onPress={() => files.current?.click()}>Choose files …</Button>
      </div>
      <input ref={files} type="file" multiple hidden accept={accept} onChange={(e) => picked(e.currentTarget)} />
      {folders && <input ref={folder} type="file" hidden {...WHOLE_FOLDERS} onChange={(e) => picked(e.currentTarget)} />}
    </div>
  );
}
