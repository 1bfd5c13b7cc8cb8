// 页面的中文文本。The page's texts in Chinese; they are loaded when someone chooses the language.
//
// Glossary, so that one thing has one name: fine-tune 微调 · base 基座模型（步骤名：基座）· checkpoint 检查点 · snapshot 快照 · run 训练／训练记录 ·
// parameter 参数 · weight 权重 · full fine-tuning 全参数微调 · adapter 适配器 · rank 秩 · module 模块 · layer 层 · head 输出头 · embedding 词嵌入 ·
// token 词元 · tokenizer 分词器 · chat template 对话模板 · prompt 提示 · sample 样本 · record 记录 · held out 留出 · evaluation 评估 · learning rate 学习率 ·
// warm-up 预热 · weight decay 权重衰减 · step 步 · epoch 轮 · batch 批次 · loss 损失 · perplexity 困惑度 · gradient 梯度 · norm 范数 · clipping 裁剪 ·
// moments 优化器状态 · activations 激活值 · GPU memory 显存 · kernel 内核 · quantised 量化 · merge 合并 · shard 分片 · singular value 奇异值 ·
// preferred/rejected 偏好／拒绝的回答 · reward 奖励 · seed 随机种子 · recipe 训练配方 · finding 检查发现的问题 · village model 村庄模型.
// Between Chinese and Latin letters or digits stands a space. The reader is 你.
import type { english } from "../en/index.js";
import { base } from "./base.js";
import { check } from "./check.js";
import { core } from "./core.js";
import { data } from "./data.js";
import { device } from "./device.js";
import { home } from "./home.js";
import { lessonList } from "./lessonList.js";
import { method } from "./method.js";
import { results } from "./results.js";
import { runs } from "./runs.js";
import { shell } from "./shell.js";
import { state } from "./state.js";
import { train } from "./train.js";
import { units } from "./units.js";
import { use } from "./use.js";

export const chinese: typeof english = { base, check, core, data, device, home, lessonList, method, results, runs, shell, state, train, units, use };
