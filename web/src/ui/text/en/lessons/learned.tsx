export const learned = {
  predict: (question: string, answer: string) => `The model is trained with this example: “${question}” – “${answer}”${/[.!?]$/.test(answer) ? "" : "."} It reads all of it. On which part is it graded, so that its weights change?`,
  options: {
    all: "On every token: question, answer, and the marks between them",
    question: "On the question",
    answer: "On the answer and the mark that ends it",
    last: "On the last word alone",
  },
  theExample:
    "This is the example as the model sees it: tokens, pieces of words with the marks of a conversation around them. Underlined ones are learned, the others only read. Write another one; the link to this lesson then holds it.",
  counts: (tokens: string, learned: string) => `${tokens} tokens, ${learned} of them learned`,
  reading: "Reading it",
  nowTrain: "Now train on the village’s 812 questions. This example is not among them. Then once more with a wrong mask: the model is graded on the questions as well.",
  stepsHelp: "More take longer and show more.",
  train: "Train on the answers",
  trainWrong: "Train with the wrong mask",
  goOnWrong: "Go on with the wrong mask",
  onTheAnswers: "On the answers",
  before: "Before",
  after: (steps: string) => `After ${steps} steps`,
  wrongMask: "With the wrong mask",
  howToRead: "The stronger its colour, the less the model expected a token. Press one, or move with the arrow keys, to see what it expected there.",
  table: {
    caption: "Mean loss a token of this example",
    model: "Model",
    question: "Question and marks",
    answer: "Answer",
    right: "Right answer, token for token",
    graded: "Tokens graded",
    of: (graded: number, all: number) => `${graded} of ${all}`,
  },
  why: [
    "Training asks at every learned token: how probable did you think this one was? The loss is minus the logarithm of that probability, and the weights move so that it grows. Of the tokens that are only read nothing is asked: they are there so that the answer can be about them. The mark at the end is learned, too; without it a model would not know when to stop.",
    <>
      A mask that grades the question spends the same steps on guessing what a person will ask. Its loss on the question falls, which nobody needs; and since questions are most of the tokens, less of each step is
      about answering. In a recipe the key is <code>train_on_prompt</code>; the Data step of this page shows the mask of your own examples before you train.
    </>,
  ],
};
