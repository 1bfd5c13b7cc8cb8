import type { home as english } from "../en/home.js";
import { spaced } from "./units.js";

export const home: typeof english = {
  see: "看它学习",
  seeText: "这个只有一百万参数的模型读过一个村庄的故事，但还不会回答问题。看它怎样学会：第一步之前它先答一次，之后每隔几步再答一次。",
  seeMore: "只需点一下。即使没有显卡，一分钟之内也能看到回答的变化。",
  seeRecorded: "由于上面的原因，这里不能训练。可以重放一次录制的训练：真实训练的每一步和回答，四十秒看完。",
  toTheRun: "查看正在进行的训练",
  learn: "课程",
  learnText: "模型从一个例子里学到什么，又有哪些只是读过？基座模型为什么必须完整？这些短课用真实模型来回答：你来预测，它来训练，结果自己看。",
  learnMore: "自学或上课都可以：每一课都有自己的网址，也可以逐页演示。",
  toTheLessons: "去上课",
  own: "你自己的模型",
  ownText: "来自这台电脑或网络的 Hugging Face 文件夹，加上你的例子，训练全部参数或 LoRA 适配器：一共六步，结果是 transformers 和 PEFT 都能加载的文件夹。",
  ownMore: "训练前检查每个文件，开始前就告诉你需要多少内存和时间。",
  chooseABase: "选择基座模型",
  goOn: "继续",
  lastVisit: "上次的内容原样保留",
  lastBase: (name, parameters) => `：${name}${parameters === null ? "" : `，${spaced(parameters, "个参数")}`}`,
  lastData: (name) => `，${name}`,
  lastEnd: "。",
  interrupted: "有一次训练中断了。它的最后一个快照还在，可以从那里继续。",
  toTheInterrupted: "查看中断的训练",
  compareKept: (runs) => `比较保存在这个浏览器里的 ${runs}`,
};
