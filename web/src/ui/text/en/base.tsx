/** Names of models that come with the page; others keep theirs. */
const models: Record<string, string> = {};

export const base = {
  models,
  runGoesOn: "A run is going on. Stop it first, then open another base.",
  isAnAdapter: (name: string) => `${name} is an adapter, a part of a model: open the base that it was trained on first, then give it again.`,
  whileRunning: "A run is going on. Another base can be opened when it is stopped or done.",
  inAnotherTab: "A run goes on in another tab of this browser. It can be watched, paused and stopped there; here it cannot be deleted or resumed.",
  village: "The village model",
  villageText:
    "A million parameters, part of this page. It tells stories about a village and cannot answer questions yet: good for a first walk through all steps, which takes minutes.",
  useVillage: "Use the village model",
  own: "A model from this computer",
  ownText: (
    <>
      A Hugging Face folder (<code>config.json</code>, safetensors, tokenizer) or a <code>.gguf</code> file. It is read where it lies, nothing is
      uploaded.
    </>
  ),
  dropFolder: "Drop a folder or its files here, or",
  kept: "Kept in this browser",
  keptText: "Runs of this page. They lie in the browser’s own storage for this site until deleted.",
  useAsBase: "Use as the base",
  useRunAsBase: (name: string) => `Use ${name} as the base`,
  openNow: (name: string, size: string) => `Open: ${name}, ${size}`,
  storesNothing: (
    <>
      <strong>This browser stores nothing for this page</strong>, so what is kept here ends with the tab: take it home first.
    </>
  ),
  storageUsed: (usage: string, quota: string) => `${usage} of the ${quota} that this browser allows are in use.`,
  mayClear: " The browser may clear them when the disk is full, unless it promises to keep them.",
  keepsThem: "The browser keeps them.",
  promisesNothing: "The browser promises nothing.",
  promisesNothingWhy:
    "The browser promises nothing: it grants this to sites that are used often or installed. Take home what you want to keep.",
  askToKeep: "Ask the browser to keep them",
  fetchAgain: "Fetch it again",
  lastFromNetwork: (address: string) => (
    <>
      The base of your last visit was <strong>{address}</strong>, from the network.
    </>
  ),
  lastFolder: (name: string) => (
    <>
      The base of your last visit was the folder <strong>{name}</strong>. A page may not open folders by itself: choose it again below.
    </>
  ),
  hub: "A model from the network",
  hubText: "A Hugging Face id or the address of a folder. Only now, and only for this, the network is used.",
  hubId: "Hub id or address",
  fetchIt: "Fetch",
  chooseFolder: "Choose a folder …",
  chooseFiles: "Choose files …",
  tooManyFiles: (most: number) => `More than ${most} files were dropped: drop the model's own folder.`,
};
