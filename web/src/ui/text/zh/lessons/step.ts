import type { step as english } from "../../en/lessons/step.js";

export const step: typeof english = {
  predict: (steps) => `每一步都让各个权重沿着梯度的反方向移动，学习率决定移动多远。用不同的学习率各训练 ${steps} 步：哪一个最后的损失最低？`,
  options: {
    "1e-6": "0.000001（1e-6）",
    "1e-4": "0.0001（1e-4）",
    "1e-3": "0.001（1e-3）",
    "1e-2": "0.01（1e-2）",
    "1e-1": "0.1（1e-1）",
    "1": "1：步子越大越快",
  },
  apart: "把一步拆开看",
  apartText: (batch) =>
    `一步分为四个部分。模型读 ${batch} 个例子，给出每个位置上下一个词元的概率（前向）。把它给正确词元的概率取对数再取负，就是损失。梯度说明对每个权重来说，往哪个方向走损失会变大。更新则让权重往相反的方向移动。`,
  rate: "学习率",
  stepParts: { forward: "前向", loss: "损失", gradient: "梯度", update: "更新" },
  stepDone: "这一步完成了",
  oneStep: "一步",
  forwardText: (batch) => `基座模型怎么看一个不在这 ${batch} 个之中的例子；颜色越深，说明它越没有料到这个词元。`,
  beforeStep: "这一步之前",
  afterStep: "这一步之后",
  lossText: (batch, probability) => [`这 ${batch} 个例子中参与学习的词元，平均损失是 `, `：平均来说，正确词元得到的概率是 ${probability}。`],
  gradientText: (clipped, limit) => [
    "所有梯度合起来的长度是 ",
    clipped
      ? `。它超过了 ${clipped.limit}，所以要裁剪：全部乘以同一个系数 ${clipped.factor}，这样一个反常的批次不会把模型推得太远。`
      : `。它没有超过上限 ${limit}，所以不需要裁剪。`,
  ],
  updateText: (rate, share, loss) => [`学习率为 ${rate} 时，权重移动了 `, `，是自身长度的 ${share}。在上面的例子里，回答的损失原来是 ${loss}，现在是 `, "。"],
  loop: "循环起来",
  loopText: (steps) => `用各个学习率依次训练 ${steps} 步。最后一个会让数值超出浮点数的表示范围。`,
  batch: "每步的例子数",
  batchHelp: "批次大小：越大，梯度越稳定，每一步也越慢。",
  clip: "裁剪上限",
  clipHelp: "所有梯度合起来允许的最大长度；0 表示不裁剪。",
  trainWith: (rate) => `用学习率 ${rate} 训练`,
  ofRate: (rate) => `学习率 ${rate}`,
  plot: {
    title: "不同学习率下的损失",
    about: "每个试过的学习率一条曲线：下降说明在学习，平直说明毫无作用，上升说明在发散。",
    x: "步",
    point: (step, of) => `第 ${step} 步：${of.map(([rate, loss]) => `学习率 ${rate} 的损失是 ${loss}`).join("，")}。`,
  },
  pieces: "把同一步分成几份",
  piecesText: (batch) => `一次读 ${batch} 个例子，或者每次只读一半、四分之一，把梯度累加起来再更新（梯度累积）：损失相同，占用的内存更少。`,
  trainPieces: "三种都训练",
  times: "例子数 × 次数",
  lossOf: (step) => `第 ${step} 步的损失`,
  memory: "显存峰值",
  why: [
    "梯度只在权重当前的位置上成立，走出一步就变了。学习率太小会浪费步数：权重几乎不动。太大则会越过谷底，落到损失更高的地方，然后跳得更远。无论梯度大小，AdamW 每次都让权重移动大约一个学习率的距离，所以学习率相对于权重本身必须很小。",
    "数值超出浮点数的表示范围之后，损失就不再是数字了。这时训练器会让权重保持这一步之前的样子，结束训练，并说明发生在第几步；没有这道保护，整个模型都会变成 NaN，之后的每一步也是如此。",
  ],
};
