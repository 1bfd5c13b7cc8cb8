import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { filesOf, folderOf, pickFolder, picksFolders, type Gift, type Given } from "../files.js";
import { failed } from "../state/faults.js";
import { Button } from "./Button.js";
import { text } from "../text/index.js";

interface DropProps {
  /** Receives the files, with their paths relative to what was dropped or picked, and their folder where the browser can open it again. */
  onFiles: (files: Given[], folder: FileSystemDirectoryHandle | null) => unknown;
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
  const give = async (found: Promise<Gift | null>) => {
    try {
      const gift = await found;
      if (gift && gift.files.length > 0) await onFiles(gift.files, gift.folder);
    } catch (error) {
      failed(error);
    }
  };
  const picked = (input: HTMLInputElement) => {
    const list = Array.from(input.files ?? [], (file) => ({ path: file.webkitRelativePath || file.name, file }));
    input.value = ""; // so that picking the same files again fires `change`
    void give(Promise.resolve({ files: list, folder: null }));
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
        if (!event.dataTransfer) return;
        const both = Promise.all([filesOf(event.dataTransfer), folderOf(event.dataTransfer)]);
        void give(both.then(([files, folder]) => ({ files, folder })));
      }}
    >
      {children}
      <div class="row">
        {folders && <Button onPress={() => (picksFolders() ? give(pickFolder()) : folder.current?.click())}>{text.base.chooseFolder}</Button>}
        <Button onPress={() => files.current?.click()}>{text.base.chooseFiles}</Button>
      </div>
      <input ref={files} type="file" multiple hidden accept={accept} onChange={(e) => picked(e.currentTarget)} />
      {folders && <input ref={folder} type="file" hidden {...WHOLE_FOLDERS} onChange={(e) => picked(e.currentTarget)} />}
    </div>
  );
}
