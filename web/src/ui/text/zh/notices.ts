// What the core remarks on recipes, data and runs, in Chinese by its own words: what a sentence names stands in the pattern's brackets.
// `tests/browser/language.spec.ts` holds the core's sentences against these.

/** Words within what the brackets hold. */
const WITHIN: readonly (readonly [RegExp, string])[] = [
  [/^all$/, "全部"],
  [/^preference training$/, "偏好训练"],
  [/^stage (kto|dpo|rm)$/, "阶段 $1"],
  [/^reward models and PPO$/, "奖励模型和 PPO"],
  [/^one piece of (.+)$/, "一块 $1"],
  [/^pieces of at most (.+)$/, "每块最多 $1"],
  [/^set gradient_checkpointing: true$/, "打开“节省内存”（gradient_checkpointing: true）"],
  [
    /^lower per_device_train_batch_size \(and raise gradient_accumulation_steps by as much\)$/,
    "减小“每批样本数”（per_device_train_batch_size），并相应增大“每步批次数”（gradient_accumulation_steps）",
  ],
  [/^set bf16: true \(activations wait for the backward pass in 16 bits\)$/, "打开“16 位激活值”（bf16: true）"],
  [/^lower cutoff_len$/, "减小“最长样本”（cutoff_len）"],
  [/^train an adapter \(finetuning_type: lora\): gradients and moments alone are (.+)$/, "改为训练适配器（finetuning_type: lora）：单是梯度和优化器状态就有 $1"],
  [/^take a smaller model: weights, gradients and moments alone are (.+)$/, "换一个更小的模型：单是权重、梯度和优化器状态就有 $1"],
  [/^good$/, "好"],
  [/^bad$/, "坏"],
  [/^semicolons$/, "分号"],
  [/^tabs$/, "制表符"],
  [/^commas$/, "逗号"],
  [/^; it is saved with the trained model$/, "；它会与训练出的模型一起保存"],
];

const NOTICES: readonly (readonly [RegExp, string])[] = [
  // Adapters on a base
  [
    /^(?:warning: )?(.+) was made on other weights than those of (.+) \(it names (.+)\): the shapes fit, the numbers do not; expect wrong answers unless you know better$/,
    "$1 是在与 $2 不同的权重上训练的（它写明的基座是 $3）：形状相符，数值对不上；除非你清楚自己在做什么，否则会得到错误的回答。",
  ],
  [/^(.+): (\d+) names in (\S+) are no modules of this base; the first are$/, "$1：$3 里有 $2 个名称不是这个基座模型的模块；前几个是："],
  [/^(.+): "(.+)" in (\S+) is not a module of this base; PEFT ignores it as well$/, "$1：$3 里的“$2”不是这个基座模型的模块；PEFT 也会忽略它。"],
  // Recipes
  [/^optim: (\S+): AdamW's moments are kept in f32 here; adamw_8bit keeps them in 8 bits$/, "optim: $1：这里 AdamW 的状态以 f32 保存；adamw_8bit 则以 8 位保存。"],
  [
    /^(.+): activations that the backward pass reads are kept in bfloat16 until then; weights, gradients, optimiser and all arithmetic are f32, so that no loss is scaled; export_dtype chooses what is written$/,
    "$1：反向传播要读取的激活值在此之前以 bfloat16 保存；权重、梯度、优化器和全部运算都用 f32，因此不需要损失缩放；写出的类型由 export_dtype 决定。",
  ],
  [
    /^optim_config: an adapter is trained by the AdamW that stands beside Muon, as in LLaMA-Factory's version 1$/,
    "optim_config：适配器由 Muon 旁边的 AdamW 训练，与 LLaMA-Factory 的版本 1 相同。",
  ],
  [/^optim_config: lr is not used, as in LLaMA-Factory: learning_rate is$/, "optim_config：lr 不起作用，与 LLaMA-Factory 相同：采用 learning_rate。"],
  [
    /^(.+): (\d+) records are drawn from (\d+), some of them several times, as LLaMA-Factory draws them$/,
    "$1：从 $3 条记录中抽取 $2 条，有些会被抽中多次，与 LLaMA-Factory 的抽取方式相同。",
  ],
  [
    /^(.+): activations that the backward pass reads are kept in IEEE half precision until then; weights, gradients, optimiser and all sums are f32; export_dtype chooses what is written$/,
    "$1：反向传播要读取的激活值在此之前以 IEEE 半精度保存；权重、梯度、优化器和全部求和都用 f32；写出的类型由 export_dtype 决定。",
  ],
  [
    /^fp16: products on (.+) take both factors in IEEE half precision and sum in f32; gradients are scaled by a power of two on their way there and back$/,
    "fp16：$1 上的矩阵乘法以 IEEE 半精度读取两个因子，以 f32 求和；梯度在读入时乘以 2 的幂，之后再除回。",
  ],
  [/^fp16: products on (.+) compute in f32: its kernels multiply in registers, where halves would save nothing$/, "fp16：$1 上的矩阵乘法用 f32 计算：它的内核在寄存器中相乘，半精度在那里省不了什么。"],
  [/^fp16: products on (.+) compute in f32: its shaders have no numbers of 16 bits$/, "fp16：$1 上的矩阵乘法用 f32 计算：它的着色器没有 16 位的数。"],
  [/^fp16: products on (.+) compute in f32: converting halves costs its kernels more than they save$/, "fp16：$1 上的矩阵乘法用 f32 计算：半精度的转换对它的内核来说得不偿失。"],
  [/^warmup_steps and warmup_ratio are both given: warmup_steps is used$/, "同时给出了 warmup_steps 和 warmup_ratio：采用 warmup_steps。"],
  [
    /^optim: (\S+): without effect, as in LLaMA-Factory: use_muon takes Muon for matrices and AdamW for all else$/,
    "optim: $1：不起作用，与 LLaMA-Factory 相同：use_muon 对矩阵使用 Muon，对其余参数使用 AdamW。",
  ],
  [
    /^report_to: nothing is sent to a tracker \((.+)\); trainer_log\.jsonl holds the same, tensorboard and wandb \(offline\) write files of their own$/,
    "report_to：不会向跟踪服务（$1）发送任何内容；同样的数据在 trainer_log.jsonl 里，tensorboard 和 wandb（离线）会写出各自的文件。",
  ],
  [
    /^report_to: wandb: an offline run is written into output_dir\/wandb and nothing is sent; `wandb sync` on its folder uploads it$/,
    "report_to: wandb：离线记录写入 output_dir/wandb，不发送任何内容；对该文件夹执行 `wandb sync` 即可上传。",
  ],
  [
    /^do_predict: after training, `rootstock eval RECIPE` with the result as its model or adapter predicts$/,
    "do_predict：训练之后，用 `rootstock eval RECIPE`（以结果作为其模型或适配器）来预测。",
  ],
  [/^(.+): for `rootstock chat` and prediction; training draws no answers$/, "$1：只用于 `rootstock chat` 和预测；训练时不生成回答。"],
  [
    /^pissa_init: what is written is converted \(pissa_convert: true\), an adapter of twice the rank for the model as it is; without that it would belong to a model that only this run has had$/,
    "pissa_init：写出的结果会转换（pissa_convert: true）成秩为两倍、适用于原模型的适配器；否则它属于只在这次训练中存在过的模型。",
  ],
  [
    /^pissa_init has nothing to do: the adapter that is trained exists \(create_new_adapter makes a new one\)$/,
    "pissa_init 不起作用：要训练的适配器已经存在（create_new_adapter 会新建一个）。",
  ],
  [
    /^compute_accuracy: in stage sft alone; stage dpo tells rewards\/accuracies and stage rm accuracy by themselves$/,
    "compute_accuracy：只用于阶段 sft；阶段 dpo 自己给出 rewards/accuracies，阶段 rm 自己给出 accuracy。",
  ],
  [
    /^(.+): nothing on this machine is called (.+), so the data set of Hugging Face's hub is taken$/,
    "$1：本机没有名为 $2 的文件，因此采用 Hugging Face Hub 上的数据集。",
  ],
  [
    /^train_on_prompt, mask_history and neat_packing have no effect in stage pt: every token is learned$/,
    "train_on_prompt、mask_history 和 neat_packing 在阶段 pt 中不起作用：每个词元都参与学习。",
  ],
  [/^eval_steps without eval_strategy: evaluating every eval_steps steps \(eval_strategy: steps\)$/, "给出了 eval_steps 而没有 eval_strategy：每 eval_steps 步评估一次（eval_strategy: steps）。"],
  [/^without effect, as they belong to (.+): (.+)$/, "不起作用，因为它们属于$1：$2。"],
  [/^without effect in stage (\S+): (.+)$/, "在阶段 $1 中不起作用：$2。"],
  [/^lora_dropout: stage (\S+) trains without dropout, as in LLaMA-Factory$/, "lora_dropout：阶段 $1 训练时不用 dropout，与 LLaMA-Factory 相同。"],
  [/^ref_model: without effect, as pref_loss: (\S+) needs no reference$/, "ref_model：不起作用，因为 pref_loss: $1 不需要参考模型。"],
  [
    /^per_device_train_batch_size: 1: kto estimates from the other samples of a micro-batch how far the model has moved; take 2 or more \(and less gradient_accumulation_steps\)$/,
    "per_device_train_batch_size: 1：kto 要用同一批的其他样本估计模型偏离了多少；请取 2 或更多（并减少 gradient_accumulation_steps）。",
  ],
  [/^these keys have no meaning here and are ignored: (.+)$/, "这些键在这里没有意义，已忽略：$1。"],
  [/^left out, as they are chosen on this page: (.+)$/, "已略去，因为它们在本页面上选择：$1。"],
  [
    /^a recipe of LLaMA-Factory's version 1: what it leaves out has that version's defaults \(a constant learning rate of 1e-4, weight decay 0\.01, one sample a batch\)$/,
    "这是 LLaMA-Factory 第 1 版的训练配方：没有写出的项采用该版本的默认值（恒定学习率 1e-4，权重衰减 0.01，每批一个样本）。",
  ],
  [/^(.+): one device holds the whole run here and computes the same$/, "$1：这里由一个设备完成整个训练，计算结果相同。"],
  // Bases in few bits
  [
    /^(\S+) of the base's linear maps are kept in (\d+) bits, embeddings and output head as they are stored; the adapter learns beside the rounded weights, and `rootstock merge` adds it to the original ones \(docs\/quantization\.md says what that changes\)$/,
    "基座的线性层（$1）以 $2 位存放，词嵌入和输出头保持原样；适配器在舍入后的权重旁边学习，合并时则加到原来的权重上（docs/quantization.md 说明这有什么影响）。",
  ],
  [
    /^quantization_bit: (\d+) of (\d+) linear maps stay as they are stored, because blocks have (\d+) numbers and their rows are no whole blocks \((\S+) has rows of (\d+)\)$/,
    "quantization_bit：$2 个线性层中有 $1 个保持原样，因为每块有 $3 个数，而它们的行不是整块（$4 的行长为 $5）。",
  ],
  [
    /^(\d+) of the base's matrices are stored in few bits; training starts from what they decode to, in f32: what was lost stays lost, and the result is as large as the unquantised model$/,
    "基座有 $1 个矩阵以较少的位数存储；训练从解码后的 f32 数值开始：已经损失的精度不会恢复，结果与未量化的模型一样大。",
  ],
  [
    /^(\d+) of the base's matrices are kept in the blocks that they are stored in \((.+)\), unless they are trained; dequantize: true decodes them to f32 instead$/,
    "基座有 $1 个矩阵保持存储时的分块格式（$2），除非它们参与训练；dequantize: true 会把它们解码为 f32。",
  ],
  // Memory
  [
    /^gradient_checkpointing is turned on: without it the run needs (.+) of GPU memory and (.+) has (.+); with it (.+), in about a third more time$/,
    "已自动打开“节省内存”（gradient_checkpointing）：不用它，这次训练需要 $1 显存，而 $2 只有 $3；用它只需 $4，时间约多三分之一。",
  ],
  [/^this run needs (.+) of GPU memory and (.+) offers ([^;]+)(?:; (.*))?$/, "这次训练需要 $1 显存，而 $2 只有 $3。"],
  // Data
  [/^(\d+) of (\d+) records are longer than cutoff_len \((\d+)\) and were cut$/, "$2 条记录中有 $1 条超过 cutoff_len（$3），已被截断。"],
  [/^(\d+) of (\d+) samples have no answer left within cutoff_len and were dropped$/, "$2 个样本中有 $1 个在 cutoff_len 之内没有留下回答，已去掉。"],
  [/^the last (\d+) tokens fill no block of cutoff_len and were dropped$/, "最后 $1 个词元不足一个 cutoff_len 的块，已去掉。"],
  [
    /^(\d+) records became (\d+) sequences: the chat template rewrites earlier turns of (\d+) of them \(as one that cuts thinking out of them does\), so that some answers are learned in a sequence of their own$/,
    "$1 条记录变成了 $2 个序列：对话模板改写了其中 $3 条的前面几轮（例如去掉思考过程），因此有些回答在单独的序列里学习。",
  ],
  [
    /^the model has no chat template: conversations are written as "User: …" and "Assistant: …" lines, and that template is saved with the trained model$/,
    "这个模型没有对话模板：对话写成“User: …”和“Assistant: …”的行，这个模板会与训练出的模型一起保存。",
  ],
  [/^(.+): its cells are parted by (semicolons|tabs|commas)$/, "$1：单元格以$2分隔。"],
  [/^all (\d+) answers are marked as (good|bad): kto learns from the difference between good and bad ones$/, "全部 $1 个回答都标记为“$2”：kto 要从好坏回答的差别中学习。"],
  [
    /^(.+): the fields? (.+) of its records (?:is|are) not read; name (?:it|them) under columns in dataset_info\.json if (?:it|that) is meant$/,
    "$1：记录中的字段 $2 没有读取；如果需要它，请在“列”中指定。",
  ],
  [/^the texts have (\d+) tokens, less than cutoff_len \((\d+)\): they make one short block$/, "这些文本只有 $1 个词元，少于 cutoff_len（$2）：它们构成一个较短的块。"],
  [/^(\d+) of (\d+) records are left out \(on_bad_record: skip\): (.+)$/, "$2 条记录中有 $1 条被跳过（on_bad_record: skip）：$3"],
  [/^template: (\S+) is LLaMA-Factory's(; it is saved with the trained model)?$/, "template: $1 采用 LLaMA-Factory 的模板$2。"],
  [
    /^template: (\S+) is LLaMA-Factory's, and writes what the checkpoint's own writes(; it is saved with the trained model)?$/,
    "template: $1 采用 LLaMA-Factory 的模板，写法与模型自带的相同$2。",
  ],
  [
    /^template: (\S+) is LLaMA-Factory's, and differs from the checkpoint's own: (.+?)(; it is saved with the trained model)?; leave template out to use the checkpoint's own$/,
    "template: $1 采用 LLaMA-Factory 的模板，与模型自带的不同：$2$3。不写 template 就会使用模型自带的模板。",
  ],
  [/^the tokens of (.+) are those that (.+) kept$/, "$1 的词元取自浏览器中保存的词元。"],
  [/^there is no space in (.+) to keep the tokens$/, "浏览器里没有空间保存词元；下次要重新切分。"],
  [
    /^the tokenizer has (\d+) tokens \((\d+) of them new\), the embedding (\d+) rows \((\d+) before\): new rows are the mean of the others with noise$/,
    "分词器有 $1 个词元（其中 $2 个是新的），词嵌入有 $3 行（原来 $4 行）：新的行取其余各行的平均值并加噪声。",
  ],
  [
    /^the tokenizer has (\d+) tokens \((\d+) of them new\), the embedding (\d+) rows \((\d+) before\): (\d+) new rows begin with the tokens of their descriptions, all others with the mean$/,
    "分词器有 $1 个词元（其中 $2 个是新的），词嵌入有 $3 行（原来 $4 行）：$5 个新的行取其描述中词元的平均值，其余新行取所有行的平均值。",
  ],
  [
    /^train_from_scratch: the (\d+) weights begin at random \(standard deviation (\S+), seed (\d+)\)$/,
    "train_from_scratch：$1 个权重从随机值开始（标准差 $2，种子 $3）。",
  ],
  [/^init_special_tokens: no token is described \(new_special_tokens_config\), so new rows begin as by noise_init$/, "init_special_tokens：没有带描述的词元（new_special_tokens_config），新的行按 noise_init 开始。"],
  [/^add_special_tokens is not used: new_special_tokens_config names the special tokens$/, "没有使用 add_special_tokens：特殊词元由 new_special_tokens_config 给出。"],
  // Runs
  [/^looking for the principal directions of (\d+) matrices …$/, "正在寻找 $1 个矩阵的主方向…"],
  [/^the earlier result in (.+) is kept in (.+) until the new one is whole$/, "$1 中先前的结果保存在 $2，直到新的结果完整为止。"],
  [
    /^the model has collapsed by step (\d+): the gradient is 0 and the loss (\S+) that of guessing \(the logarithm of (\d+) tokens\), so it learns nothing any more\. Begin anew with a tenth of the learning rate, more warm-up, or max_grad_norm: 1\.0$/,
    "到第 $1 步，模型已经崩溃：梯度为 0，损失 $2 等于随机猜测（$3 个词元的对数），再也学不到任何东西。请用十分之一的学习率、更长的预热或 max_grad_norm: 1.0 重新开始。",
  ],
  [/^computing what the reference, (.+), gives (\d+) answers …$/, "正在计算参考模型 $1 对 $2 个回答给出的概率…"],
  [/^the evaluation's loss after step (\d+) is not a finite number: this state is not taken for the best$/, "第 $1 步之后的评估损失不是有限的数：这个状态不会被当作最佳。"],
  [/^there is no whole checkpoint in (.+) yet: starting from the beginning$/, "$1 里还没有完整的检查点：从头开始。"],
  [
    /^the run of (\d+) steps is continued to (\d+): from step (\d+) on the learning rate is that of a run of \d+ steps$/,
    "$1 步的训练延长到 $2 步：从第 $3 步起，学习率按 $2 步的训练计算。",
  ],
  [/^the result is the best checkpoint, (\S+) \(eval_loss (\S+)\)$/, "结果取自最佳检查点 $1（评估损失 $2）。"],
  [/^the best checkpoint, (\S+), cannot be used \((.+)\): the result is the last state$/, "最佳检查点 $1 无法使用（$2）：结果取自最后的状态。"],
  [
    /^(\S+), the best so far \(eval_loss (\S+)\), is neither in (.+) nor beside (.+), or is damaged: the best of what follows is taken$/,
    "目前最佳的 $1（评估损失 $2）不在 $3 里，也不在 $4 旁边，或已损坏：改取后面最好的。",
  ],
];

/** A phrase within a notice, as far as it is known. */
function within(words: string): string {
  const found = WITHIN.find(([pattern]) => pattern.test(words));
  return found ? words.replace(found[0], found[1]) : words;
}

/** A remark of the core in Chinese, or `null` where it is not known. */
export function notice(words: string): string | null {
  const known = WITHIN.find(([pattern]) => pattern.test(words));
  if (known) return words.replace(known[0], known[1]);
  for (const [pattern, chinese] of NOTICES) {
    const found = pattern.exec(words);
    if (!found) continue;
    return chinese.replaceAll(/\$(\d)/g, (_whole, place: string) => within(found[Number(place)] ?? ""));
  }
  return null;
}
