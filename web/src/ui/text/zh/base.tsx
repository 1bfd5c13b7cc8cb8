import type { base as english } from "../en/base.js";

export const base: typeof english = {
  models: { "village model": "村庄模型" },
  runGoesOn: "训练正在进行。请先停止它，再打开别的基座模型。",
  isAnAdapter: (name) => `${name} 是适配器，只是模型的一部分：请先打开训练它时所用的基座模型，然后再给一次。`,
  whileRunning: "训练正在进行。等它停止或完成后，才能打开别的基座模型。",
  inAnotherTab: "这个浏览器的另一个标签页里正在训练。可以在那里查看、暂停和停止；在这里不能删除或继续它。",
  village: "村庄模型",
  villageText: "一百万参数，随页面提供。它会讲一个村庄的故事，还不会回答问题：很适合第一次走完所有步骤，几分钟就够。",
  useVillage: "使用村庄模型",
  own: "这台电脑上的模型",
  ownText: (
    <>
      一个 Hugging Face 文件夹（<code>config.json</code>、safetensors、分词器），或一个 <code>.gguf</code> 文件。就地读取，不会上传任何内容。
    </>
  ),
  dropFolder: "把文件夹或其中的文件拖到这里，或者",
  kept: "保存在这个浏览器里",
  keptText: "本页面的训练记录。它们保存在浏览器为本站提供的存储空间里，直到你删除。",
  useAsBase: "用作基座",
  useRunAsBase: (name) => `把 ${name} 用作基座模型`,
  openNow: (name, size) => `已打开：${name}，${size}`,
  storesNothing: (
    <>
      <strong>这个浏览器不为本页面保存任何内容</strong>，关闭标签页后这里的东西都会消失：请先把它带走。
    </>
  ),
  storageUsed: (usage, quota) => `浏览器允许使用 ${quota}，已用 ${usage}。`,
  mayClear: "磁盘写满时浏览器可能会清除它们，除非它答应保留。",
  keepsThem: "浏览器会保留它们。",
  promisesNothing: "浏览器没有答应。",
  promisesNothingWhy: "浏览器没有答应：它只为经常使用或已安装的网站保留数据。想留下的内容请先带走。",
  askToKeep: "请浏览器保留它们",
  fetchAgain: "重新下载",
  lastFromNetwork: (address) => (
    <>
      上次使用的基座模型是来自网络的 <strong>{address}</strong>。
    </>
  ),
  lastFolder: (name) => (
    <>
      上次使用的基座模型是文件夹 <strong>{name}</strong>。网页不能自行打开文件夹：请在下面再选一次。
    </>
  ),
  hub: "网络上的模型",
  hubText: "Hugging Face 上的名称，或一个文件夹的网址。只有这时、只为这件事才会使用网络。",
  hubId: "Hugging Face 名称或网址",
  fetchIt: "下载",
  chooseFolder: "选择文件夹…",
  chooseFiles: "选择文件…",
  tooManyFiles: (most) => `拖入了超过 ${most} 个文件：请只拖入模型自己的文件夹。`,
};
