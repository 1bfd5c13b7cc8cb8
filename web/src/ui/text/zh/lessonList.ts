import type { lessonList as english } from "../en/lessonList.js";

export const lessonList: typeof english = {
  learned: { title: "它到底在学什么？", line: "模型会读例子里的每一个词元，但只在其中一部分上评分。看看是哪一部分，以及每个位置发生了什么变化。" },
  step: { title: "一步训练", line: "前向、损失、梯度、更新，先逐个看，再循环起来；学习率从毫无作用一直调到发散。" },
  method: { title: "全参数还是 LoRA？", line: "同样的数据，两种方法并排训练：比较回答、内存、文件大小，以及忘掉了什么。" },
  rank: { title: "秩要多大？", line: "秩从 1 到 32，全参数更新的奇异值，以及把同一个更新截断到某个秩后再问一次。" },
  whole: { title: "基座模型为什么必须完整？", line: "一组损坏的检查点，也可以自己动手弄坏：谁会拒绝它，谁会一声不响地加载出胡话，怎样修复。" },
  strength: { title: "适配器只是一个部件", line: "一边让模型回答，一边把强度从 0 调到 2；一个基座上的两个适配器；合并或分开；放到错误的基座上。" },
  memory: { title: "内存用到哪里去了？", line: "权重、梯度、优化器状态、激活值：从村庄模型到大上千倍的模型，先规划，再测量。" },
};
