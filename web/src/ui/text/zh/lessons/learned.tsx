import type { learned as english } from "../../en/lessons/learned.js";

export const learned: typeof english = {
  predict: (question, answer) => `模型用这个例子训练：“${question}”——“${answer}”。它会读完全部内容。那么它在哪一部分上被评分，从而改变权重？`,
  options: {
    all: "每一个词元：问题、回答，以及两者之间的标记",
    question: "问题部分",
    answer: "回答部分，以及结束回答的标记",
    last: "只有最后一个词",
  },
  theExample: "这就是模型看到的例子：一个个词元，也就是词的片段，外面带着对话的标记。带下划线的参与学习，其余的只是读过。你可以换一个例子，本课的链接会记住它。",
  counts: (tokens, learned) => `共 ${tokens} 个词元，其中 ${learned} 个参与学习`,
  reading: "正在读取",
  nowTrain: "现在用村庄的 812 个问题训练，这个例子不在其中。然后用一个错误的掩码再训练一次：模型在问题上也被评分。",
  stepsHelp: "步数越多，时间越长，效果越明显。",
  train: "在回答上训练",
  trainWrong: "用错误的掩码训练",
  goOnWrong: "用错误的掩码继续",
  onTheAnswers: "在回答上训练",
  before: "训练前",
  after: (steps) => `训练 ${steps} 步后`,
  wrongMask: "使用错误的掩码",
  howToRead: "颜色越深，说明模型越没有料到这个词元。点一个词元，或用方向键移动，就能看到模型在那里原本预计什么。",
  table: {
    caption: "这个例子中每个词元的平均损失",
    model: "模型",
    question: "问题和标记",
    answer: "回答",
    right: "逐个词元答对的概率",
    graded: "被评分的词元",
    of: (graded, all) => `${graded} / ${all}`,
  },
  why: [
    "训练时，对每个参与学习的词元都会问：你原先认为它出现的概率有多大？损失就是这个概率的对数取负，权重则朝着让概率变大的方向移动。对只是读过的词元不提任何问题：它们的作用是让回答有所依据。结尾的标记也要学，否则模型不知道什么时候该停下来。",
    <>
      如果掩码把问题也算进评分，同样的步数就会花在猜测别人要问什么上。问题部分的损失确实会下降，但没有人需要它；而且问题占了大部分词元，每一步里真正用来学习回答的就少了。在训练配方里，对应的键是{" "}
      <code>train_on_prompt</code>；本页的“数据”步骤会在训练之前显示你自己例子的掩码。
    </>,
  ],
};
