import type { units as english } from "../en/units.js";

/** A count before its noun: a space after a digit, none after 万 or 亿. */
export const spaced = (count: string, noun: string) => (/[A-Za-z\d]$/.test(count) ? `${count} ${noun}` : `${count}${noun}`);

const compact = new Intl.NumberFormat("zh-CN", { notation: "compact", maximumSignificantDigits: 3 });

export const units: typeof english = {
  things: {
    answer: (count) => `${count} 个回答`,
    fault: (count) => `${count} 处错误`,
    file: (count) => `${count} 个文件`,
    kernel: (count) => `${count} 个内核`,
    minute: (count) => `${count} 分钟`,
    pair: (count) => `${count} 对`,
    prompt: (count) => `${count} 个提示`,
    record: (count) => `${count} 条记录`,
    run: (count) => `${count} 次训练`,
    sample: (count) => `${count} 个样本`,
    step: (count) => `${count} 步`,
    tensor: (count) => `${count} 个张量`,
    token: (count) => `${count} 个词元`,
  },
  // 105万, 1.35亿: as people count in Chinese, with the space that stands between digits and characters elsewhere on the page.
  short: (value) => compact.format(value).replace(/(?<=\d)(?=[万亿])/, " "),
  percent: (figures) => `${figures}%`,
  underOneSecond: "不到 1 秒",
  seconds: (seconds) => `${seconds} 秒`,
  minutes: (minutes, seconds) => `${minutes} 分 ${seconds} 秒`,
  hours: (hours, minutes) => `${hours} 小时 ${minutes} 分`,
  doneOf: (done, total) => `${done} / ${total}`,
  gap: "",
  yes: "是",
  no: "否",
  numberNeeded: "这里需要填一个数字。",
  notANumber: "这不是数字。请写成 0.0001 或 1e-4 的形式。",
  notWhole: "这里需要填整数。",
  atLeast: (least) => `不能小于 ${least}。`,
  atMost: (most) => `不能大于 ${most}。`,
};
