import type { results as english } from "../en/results.js";
import { spaced } from "./units.js";

export const results: typeof english = {
  prefer: {
    title: "哪个回答更好？",
    about: (model) => `${spaced(model, "会回答两次")}，点一下更好的那个，就得到一条偏好数据。训练可以从这样的成对数据中学习（dpo 阶段）；几十对就能看出效果。`,
    theBase: "基座模型",
    question: "要回答两次的问题",
    twice: "回答两次",
    twoAnswers: "有两个回答，请选出更好的一个。",
    answersTo: (question) => `对“${question}”的两个回答`,
    better: "更好的是：",
    neither: "都不好",
    soFar: (pairs) => `目前有 ${pairs}。`,
    same: "它每次说的都一样。换个问题，或在下面把温度调高。",
    dares: { name: "温度", help: "两个回答的采样温度：太低时两个回答往往相同。" },
    kept: (pairs) => `${pairs}，保存在这个浏览器里`,
    learn: "用它们来训练",
    takeHome: "把成对数据带走",
    all: "全部成对数据",
    asked: "问题",
    betterHead: "更好的回答",
    worseHead: "较差的回答",
    remove: "移除",
    removePair: (pair) => `移除第 ${pair} 对`,
  },
  stack: {
    title: "加在基座模型上的适配器",
    about: "每个适配器都把自己的变化加到权重上：1 是训练时的强度，0 等于没有。可以同时加上好几个。之后上面的提问会同时交给基座模型，以及加了适配器的模型。",
    put: "加到基座模型上",
    merge: "合并成一个模型",
    off: "取下",
    now: (adapters) => `基座模型上现在有：${adapters}。`,
    isOn: (adapters) => `${adapters} 已加到基座模型上。`,
    strengthOf: (name) => `${name} 的强度`,
  },
  folder: {
    again: "再次打开",
    last: (name) => (
      <>
        上次使用的基座模型是文件夹 <strong>{name}</strong>。浏览器可能会询问是否允许本页读取它。
      </>
    ),
    refused: (name) => `浏览器没有获准读取文件夹 ${name}。请点“再次打开”并允许，或在下面重新选择文件夹。`,
    gone: (name) => `文件夹 ${name} 已不在原处。请在下面重新选择。`,
    tooMany: (most, name) => `${name} 里的文件超过 ${most} 个：请选择模型自己的文件夹。`,
  },
  recorded: {
    title: "录制的训练",
    about: "把一次训练的各步和回答存成文件，供无法训练的课堂使用：页面可以重放它，并标明是录制的。",
    mark: "录制",
    rail: (at) => `录制的训练。${at}`,
    notice: (name) => `录制的训练：${name}。`,
    facts: (date, device, time) => {
      const facts = [date && `训练日期 ${date}`, device && `设备 ${device}`, time && `用时 ${time}`].filter(Boolean);
      return `现在并没有在训练。${facts.length > 0 ? `${facts.join("，")}；` : ""}这里的播放速度比当时快。`;
    },
    toItsEnd: "直接到结尾",
    leave: "离开",
    replay: "重放一次录制的训练",
    open: "打开录制文件……",
    file: "录制文件",
    take: "存为录制文件",
    takeOf: (name) => `把 ${name} 存为录制文件`,
    unread: (status) => `无法读取页面文件 recorded-run.json（${status}）。请重新加载页面。`,
    tooLarge: (name, bytes) => `${name}：作为录制文件太大（${bytes} 字节）。`,
    later: (name) => `${name}：这个录制文件来自更新版本的页面；请重新加载页面以获得新版本。`,
    empty: (name) => `${name}：这个录制文件里没有任何一步。`,
    none: (name) => `${name}：这既不是本页的录制文件（训练旁边的“存为录制文件”可以生成），也不是命令行程序的 trainer_log.jsonl。`,
    busy: "正在训练。请先停止，再重放别的训练。",
  },
};
