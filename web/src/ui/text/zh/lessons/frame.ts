import type { frame as english } from "../../en/lessons/frame.js";

export const frame: typeof english = {
  stages: { predict: "预测", do: "动手", see: "观察", explain: "解释" },
  nothingToSee: "还没有可看的内容：请先动手做。",
  parts: "本课的各个部分",
  seeWhatItShows: "看看结果",
  explainIt: "看解释",
  linkCopied: "链接已复制。",
  copied: "已复制",
  copyTheLink: "复制链接",
  leavePresentation: "退出演示",
  present: "演示",
  sceneOf: (scene, all) => `第 ${scene} 页，共 ${all} 页`,
  goOnWithoutGuess: "不预测，直接继续",
  thatIsMyGuess: "这就是我的预测",
  youPredicted: "你的预测",
  nothing: "没有预测",
  experimentSays: "实验结果",
  nextLesson: (title) => `下一课：${title}`,
};
