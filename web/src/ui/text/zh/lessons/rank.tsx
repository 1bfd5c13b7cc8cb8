import type { rank as english } from "../../en/lessons/rank.js";

export const rank: typeof english = {
  predict: "村庄模型的每个权重矩阵至少有 128 行。LoRA 能在多少个方向上改变它，由秩决定。步数相同的情况下，从哪个秩开始，它学村庄的问题能学得差不多一样好（达到最好成绩的九成）？",
  ofRank: (rank) => `秩 ${rank}`,
  orMore: (rank) => `秩 ${rank} 或更大`,
  doIt: (steps) => `依次用各个秩训练 LoRA，每次 ${steps} 步；然后训练全部参数，它的更新可以是任何秩。`,
  allParameters: "全参数",
  theFullUpdate: "全参数更新",
  nothingChanged: "没有矩阵发生变化：请提高学习率或增加步数。",
  cutting: (rank) => `正在截断到秩 ${rank}`,
  cuttingIt: "正在截断",
  byRank: {
    title: "不同秩下留出数据的损失",
    about: (base, full) => `没有参与训练的回答的损失。基座模型是 ${base}${full === null ? "" : `，全参数更新是 ${full}`}。`,
    lora: "这个秩的 LoRA",
    cut: "截断到这个秩的全参数更新",
    x: "秩",
    point: (rank, lora, cut) => `秩 ${rank}：${lora === null ? "没有训练这个秩的 LoRA" : `LoRA 达到 ${lora}`}；${cut === null ? "全参数更新没有截断到这个秩" : `截断到这个秩的全参数更新是 ${cut}`}。`,
  },
  spectrum: {
    title: (name) => `${name} 更新的奇异值`,
    about: "全参数更新在各个方向上走了多远，从最远的开始排列。曲线下降得快，说明更新只用了少数几个方向。",
    line: "奇异值",
    x: "方向",
    point: (direction, length, share) => `第 ${direction} 个方向的长度是 ${length}；前 ${direction} 个方向占整个更新的 ${share}。`,
  },
  cutTo: "全参数更新，截断到秩 ",
  kept: "保留的变化",
  heldOut: "留出数据的损失",
  numbers: "数字个数",
  file: "文件",
  answers: (said) => `它对第一个留出问题的回答是：“${said}”。`,
  keptWhole: (names) => `以下部分整体保留，因为低秩无法接近它们的变化：${names}。`,
  why: [
    "每个矩阵都是若干方向之和，每个方向有自己的长度，也就是奇异值。一项任务加到权重上的变化，往往只有少数几个长的方向，再拖一条短的尾巴。秩为 r 就是保留 r 个方向；LoRA 必须在训练中把它们找出来，而截断则是从现成的更新里取最长的几个。",
    <>
      尾巴并非毫无用处：截断得太狠，模型先忘掉细节，最后连任务也忘掉。彼此无关的事实，比一种说话方式需要更多的方向。<code>rootstock extract</code> 可以对任何微调结果做同样的截断，并把它写成适配器。
    </>,
  ],
};
