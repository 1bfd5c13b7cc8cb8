/** What is done with results: preferences, adapters on the base, the folder of the last visit, recorded runs. */
export const results = {
  prefer: {
    title: "Which answer is better?",
    about: (model: string) => `${model} answers twice, and a click on the better answer makes an example of a preference. A run learns from such pairs (stage dpo); a few dozen show.`,
    theBase: "The base",
    question: "Question to answer twice",
    twice: "Answer twice",
    twoAnswers: "Two answers. Choose the better one.",
    answersTo: (question: string) => `Two answers to “${question}”`,
    better: "The better one: ",
    neither: "Neither",
    soFar: (pairs: string) => `${pairs} so far.`,
    same: "It says the same each time. Ask something else, or let it dare more below.",
    dares: { name: "How much it dares", help: "The temperature of the two answers: at low values they are often the same." },
    kept: (pairs: string) => `${pairs}, kept in this browser`,
    learn: "Learn from them",
    takeHome: "Take the pairs home",
    all: "All pairs",
    asked: "Asked",
    betterHead: "Better",
    worseHead: "Worse",
    remove: "Remove",
    removePair: (pair: number) => `Remove pair ${pair}`,
  },
  stack: {
    title: "Adapters on the base",
    about:
      "Each adds its change to the weights; 1 is as it was trained, 0 is nothing. Several can be on the base at once. What is asked above then goes to the base and to them together.",
    put: "Put on the base",
    merge: "Merge into a model",
    off: "Take off",
    now: (adapters: string) => `On the base: ${adapters}.`,
    isOn: (adapters: string) => `${adapters}, on the base.`,
    strengthOf: (name: string) => `Strength of ${name}`,
  },
  folder: {
    again: "Open it again",
    last: (name: string) => (
      <>
        The base of your last visit was the folder <strong>{name}</strong>. The browser may ask whether this page may read it.
      </>
    ),
    refused: (name: string) => `The browser may not read the folder ${name}. Press “Open it again” and allow it, or choose the folder below.`,
    gone: (name: string) => `The folder ${name} is not where it was. Choose it again below.`,
    tooMany: (most: number, name: string) => `There are more than ${most} files in ${name}: choose the model’s own folder.`,
  },
  recorded: {
    title: "A recorded run",
    about: "A run’s steps and answers as a file, for a class where nothing can be trained: the page shows it again, marked as recorded.",
    mark: "recorded",
    rail: (at: string) => `Recorded. ${at}`,
    notice: (name: string) => `A recorded run: ${name}.`,
    /** What follows it; facts that are not known are left out. */
    facts: (date: string | null, device: string | null, time: string | null) => {
      const facts = [date && `on ${date}`, device && `by ${device}`, time && `in ${time}`].filter(Boolean);
      return ` Nothing is trained now. ${facts.length > 0 ? `It was trained ${facts.join(", ")}; it` : "It"} is shown here faster than it was.`;
    },
    toItsEnd: "To its end",
    leave: "Leave it",
    replay: "Replay a recorded run",
    open: "Open a recording …",
    file: "A recording",
    take: "Take the recording",
    takeOf: (name: string) => `Take the recording of ${name}`,
    unread: (status: number) => `The page’s file recorded-run.json cannot be read (${status}). Reload the page.`,
    tooLarge: (name: string, bytes: number) => `${name}: this is too large for a recording (${bytes} bytes).`,
    later: (name: string) => `${name}: this recording was made by a later version of the page; reload the page to get that.`,
    empty: (name: string) => `${name}: this recording holds no step.`,
    none: (name: string) => `${name}: this is neither a recording of this page (“Take the recording” beside a run makes one) nor a trainer_log.jsonl of the program.`,
    busy: "A run is going on. Stop it first, then replay another one.",
  },
};
