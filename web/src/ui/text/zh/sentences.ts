// The validator's sentences in Chinese, by their English patterns (src/validate): the values stand in the order of the pattern's braces.
// Values that are phrases of the core (what other programs do, the way out) are said here, or by `phrase`. A sentence that is composed of
// another one has no entry: it is shown as it is, below what its code says.

/** A sentence from its values. */
export type Sentence = (...values: string[]) => string;

const random = "transformers 会用随机数填充，只给一个警告";

/** Phrases within values: counts, places, numbers of heads. What is none of them stays as it is. */
const PHRASES: readonly (readonly [RegExp, string])[] = [
  [/ \(and (?:so do )?(\d[\d,]*) (?:other tensors of this file|more such disagreements|more)\)/, "（另有 $1 个）"],
  [/ \(as do (\d[\d,]*) more\)/, "（另有 $1 个）"],
  [/^(.+) of layer (\d+)$/, "第 $2 层的 $1"],
  [/^, in layer (\d+)$/, "，在第 $1 层"],
  [/^, in layers (\d+) to (\d+)$/, "，在第 $1 至 $2 层"],
  [/^, nor are (\d[\d,]*) others$/, "，另有 $1 个也不是"],
  [/^; (\d[\d,]*) have no counterpart of the same shape there$/, "；另有 $1 个在那里没有形状相同的对应张量"],
  [/^layers? (\d+)$/, "第 $1 层"],
  [/^layers (\d+) to (\d+)$/, "第 $1 至 $2 层"],
  [/^layers ([\d, ]+) and (\d+)$/, "第 $1、$2 层"],
  [/^loss on an English text: (\S+) nats a token \(chance is (\S+)\)(?:; it goes on with “(.+)” by “(.*)”)?$/, "一段英文文本上的损失：每个词元 $1 奈特（随机猜测为 $2）；它把“$3”续写成“$4”"],
  [/；它把“”续写成“”$/, ""],
  [/^one process$/, "一个进程"],
  [/^(\d+) processes$/, "$1 个进程"],
  [/^1 layer$/, "1 层"],
  [/^(\d+) layers$/, "$1 层"],
  [/(\d+) heads of (\d+) \((\d+) for keys and values\)/g, "$1 个宽 $2 的头（其中键和值 $3 个）"],
  [/(\d+) heads of (\d+)/g, "$1 个宽 $2 的头"],
  [/(\d+) NaNs?/, "$1 个 NaN"],
  [/(\d+) infinite numbers?/, "$1 个无穷大"],
  [/ \(the first name there is (.+)\)$/, "（那里的第一个名称是 $1）"],
  [/^; it goes on with “(.+)” by “(.*)”$/, "；它把“$1”续写成“$2”"],
  [/^all (\d[\d,]*) names carry$/, "全部 $1 个名称都带有"],
  [/^(\d[\d,]*) of (\d[\d,]*) names carry$/, "$2 个名称中有 $1 个带有"],
  [/ \(the default of its configuration class\)/, "（其配置类的默认值）"],
  [/ The nearest is (.+)\.$/, "最接近的是 $1。"],
  [/^the rotary positions differ$/, "旋转位置编码不同"],
  [/^the number of heads differs$/, "头数不同"],
  [/^the norms' epsilon differs$/, "归一化的 epsilon 不同"],
  [/^the activation differs$/, "激活函数不同"],
  [/^(.+), the base has (.+)$/, "$1，基座模型为 $2"],
  [/^theta is /, "theta 为 "],
  [/^generation would never stop$/, "生成会停不下来"],
  [/^the first token of a text would have no embedding$/, "文本的第一个词元会没有词嵌入"],
  [/^transformers stops with "Padding_idx must be within num_embeddings"$/, "transformers 会因填充词元的编号越界而停止"],
  [/^remove it$/, "请删除它"],
  [/^the tokenizer's is (\d+)$/, "分词器的编号是 $1"],
  [/^no graphics device was given$/, "没有图形设备"],
  [/^English$/, "英文"],
  [/^Chinese$/, "中文"],
  [/^a model that it does not name$/, "某个未写明的模型"],
  [/ and (?![^“]*”)/g, "、"],
];

/** How a finding is repaired, by the core's words. */
const REPAIRS: readonly (readonly [RegExp, string])[] = [
  [/^take the model from (.+)\/$/, "使用 $1 里的模型"],
  [/^convert (.+) to safetensors$/, "把 $1 转换成 safetensors"],
  [/^write the weights under the standard name, with a new index where there are shards$/, "用标准名称写出权重，有分片时附上新的索引"],
  [/^strip the byte order mark of (.+)$/, "去掉 $1 的字节顺序标记"],
  [/^copy (.+) from the base$/, "从基座模型复制 $1"],
  [/^write the spellings of transformers 4 and 5$/, "写出 transformers 4 和 5 的两种写法"],
  [/^strip "(.+)" from the names$/, "从名称开头去掉“$1”"],
  [/^take "(.+)" out of the names$/, "从名称中去掉“$1”"],
  [/^put "(.+)" in front of the names$/, "在名称前加上“$1”"],
  [/^rename (\S+) to (\S+)$/, "把 $1 改名为 $2"],
  [/^leave out (\S+)$/, "去掉 $1"],
  [/^leave out (\S+) and (\d+) more$/, "去掉 $1 和另外 $2 个"],
  [/^transpose (\S+)$/, "转置 $1"],
  [/^transpose (\S+) and (\d+) more$/, "转置 $1 和另外 $2 个"],
  [/^split (\S+)$/, "拆分 $1"],
  [/^split (\S+) and (\d+) more$/, "拆分 $1 和另外 $2 个"],
  [/^join into (\S+)$/, "合并为 $1"],
  [/^join into (\S+) and (\d+) more$/, "合并为 $1 和另外 $2 个"],
  [/^merge the LoRA factors into their layers$/, "把 LoRA 因子合并到各自的层"],
  [/^merge the adapter into the base$/, "把适配器合并到基座模型"],
  [/^see by the loss on a text whether that is so$/, "用一段文本上的损失来判断是否如此"],
  [/^score (\d+) readings by the loss on a text and take the best$/, "用一段文本上的损失比较 $1 种可能，采用最好的"],
  [/^add rows to the embedding, up to (\d+)$/, "给词嵌入增加行，直到 $1 行"],
  [/^remove (\S+) from tokenizer_config\.json$/, "从 tokenizer_config.json 中删除 $1"],
  [/^set (\S+) to (.+) in tokenizer_config\.json$/, "在 tokenizer_config.json 中把 $1 设为 $2"],
  [/^take the weights from (.+)$/, "使用 $1 里的权重"],
  [/^put the weights together from the pieces of (\d+) processes in (.+)$/, "把 $2 里 $1 个进程的分片拼合成权重"],
  [/^write generation_config\.json from config\.json$/, "根据 config.json 写出 generation_config.json"],
];

/** How a finding is repaired, or `null` where it is not known. */
export function repair(words: string): string | null {
  const fields = /^in ((?:generation_)?config\.json) (.+)$/.exec(words);
  if (fields) {
    const list = (fields[2] ?? "").replaceAll(/(^|, )set (\S+) to /g, (_elsewhere, comma: string, key: string) => `${comma && "，"}把 ${key} 设为 `);
    return `在 ${fields[1]} 中${list.replaceAll(/(^|, )remove (\S+)/g, (_elsewhere, comma: string, key: string) => `${comma && "，"}删除 ${key}`)}`;
  }
  const found = REPAIRS.find(([pattern]) => pattern.test(words));
  return found ? words.replace(found[0], found[1]) : null;
}

/** A value in Chinese, as far as it is one of the known phrases. */
export function phrase(value: string): string {
  return PHRASES.reduce((words, [pattern, chinese]) => words.replace(pattern, chinese), value);
}

const p = phrase;

export const sentences: Record<string, Sentence> = {
  // Which kind of directory it is.
  "this is a whole model, not an adapter (PEFT says \"Can't find '{ADAPTER_CONFIG}' at …\"); give it as the base: model_name_or_path: {label} in a recipe, or --model {label}":
    () => "这是完整的模型，不是适配器。请把它作为基座模型打开。",
  "holds a whole model's {} tensors and no factor of an adapter (lora_A, lora_B): PEFT would load none of them and only warn. Called model.safetensors beside its config.json it is a model, and can be the base":
    (tensors = "") => `这里是完整模型的 ${tensors} 个张量，没有适配器的因子（lora_A、lora_B）：PEFT 一个也不会加载，只给一个警告。改名为 model.safetensors 并与 config.json 放在一起，它就是模型，可以用作基座。`,
  "is a Python pickle, which can run code when it is loaded; save the adapter as safetensors (save_pretrained does)": () =>
    "这是 Python pickle，加载时可能会执行代码。请把适配器保存为 safetensors（用 save_pretrained）。",
  "there is adapter_config.json but no adapter_model.safetensors; copy it here": () => "有 adapter_config.json，但没有 adapter_model.safetensors；请复制到这里。",
  "stands beside a whole model: transformers would apply this adapter to it without a word. Move the adapter (adapter_config.json and adapter_model.safetensors) into a directory of its own, or remove it":
    () => "完整的模型旁边有一个适配器：transformers 会一声不响地把它用在模型上。请把适配器（adapter_config.json 和 adapter_model.safetensors）移到单独的文件夹，或删除它。",
  'there is no {CONFIG} here: this is the folder of a training run, and the model is in {child}/; give {label}/{child} (transformers would say "Unrecognized model")':
    (config = "", child = "") => `这里没有 ${config}：这是一次训练的输出文件夹，模型在 ${child} 里；请给出那个文件夹。`,
  'this is a LoRA adapter for {base}, not a model (transformers would say "Unrecognized model", or load {base} with it); give that model\'s directory, or merge the adapter into it first: rootstock merge --model BASE --adapter {} --out OUT':
    (base = "") => `这是 ${p(base)} 的 LoRA 适配器，不是模型。请先打开那个基座模型，再给出这个适配器。`,
  "this is a LoRA adapter, and all of its {} tensors fit {}: give both (--adapter, or adapter_name_or_path in a recipe), or merge them into one model: rootstock merge --model {} --adapter {} --out OUT":
    (tensors = "", base = "") => `这是 LoRA 适配器，它的 ${tensors} 个张量都适合 ${base}：请同时给出两者，或把它们合并成一个模型。`,
  "the weights are DeepSpeed ZeRO shards (stage {}, {}) that nobody gathered; `rootstock adopt DIR --out OUT` puts their f32 weights together, as zero_to_fp32.py does": (
    stage = "",
    processes = "",
  ) => `权重是没有汇总的 DeepSpeed ZeRO 分片（阶段 ${stage}，${p(processes)}）；修复会像 zero_to_fp32.py 那样把其中的 f32 权重拼合起来。`,
  "the weights are DeepSpeed ZeRO shards that nobody gathered, and they cannot be put together here: {reason}. Where DeepSpeed is installed, `python zero_to_fp32.py . OUT` in this directory may do it.{config}":
    (reason = "", config = "") =>
      `权重是没有汇总的 DeepSpeed ZeRO 分片，在这里无法拼合：${reason}。在装有 DeepSpeed 的电脑上，可以试试在这个文件夹里运行 \`python zero_to_fp32.py . OUT\`。${config === "" ? "" : "这里也没有 config.json：请给出基座模型。"}`,
  "the weights are sharded FSDP state ({}) that nobody gathered; `rootstock adopt DIR --out OUT` puts them together, as `accelerate merge-weights` does": (
    files = "",
  ) => `权重是没有汇总的 FSDP 分片（${p(files)}）；修复会像 \`accelerate merge-weights\` 那样把它们拼合起来。`,
  "these are sharded FSDP state of a LoRA adapter, and there is no {ADAPTER_CONFIG}, which says its rank and its scale: copy that of the run (of an adapter that it went on from) into this directory, then `rootstock adopt {} --out OUT --base BASE`":
    (config = "", directory = "") =>
      `这是 LoRA 适配器的 FSDP 分片，但缺少说明其秩和缩放的 ${config}：请把那次训练（或它所继续的适配器）的该文件复制到这个目录，然后运行 \`rootstock adopt ${directory} --out OUT --base BASE\`。`,
  "the weights are sharded FSDP state, and they cannot be put together here: {reason}. Where torch is installed, `accelerate merge-weights {}/{folder} OUT` may do it; copy config.json and the tokenizer into OUT, and validate that":
    (reason = "", directory = "", folder = "") =>
      `权重是没有汇总的 FSDP 分片，在这里无法拼合：${reason}。在装有 torch 的电脑上，可以试试运行 \`accelerate merge-weights ${directory}/${folder} OUT\`，把 config.json 和分词器复制到 OUT，然后检查 OUT。`,
  "makes this a reward model: it turns the {what}'s last hidden state into the value of an answer. Recipes of stage: rm judge by it (do_eval, do_predict) or train it on; in every other use the {what} is an ordinary one and this file is not read":
    () => "这个文件使它成为奖励模型：它把最后一层隐藏状态变成对回答的评分。stage: rm 的训练配方用它评分（do_eval、do_predict）或继续训练它；在其他用途中，这是普通的模型或适配器，不读取这个文件。",
  "the value head of a reward model cannot be used ({error}); the {what} itself is as if it were not there": (error = "") =>
    `奖励模型的价值头无法使用（${error}）；模型或适配器本身不受影响。`,
  "this is not a model directory: it has no config.json and no weights (it has {} files)": (files = "") => `这不是模型文件夹：没有 config.json，也没有权重（共有 ${files} 个文件）。`,
  "this is a model in Meta's own format; convert it to the Hugging Face layout with transformers' convert_llama_weights_to_hf.py, or download the -hf version": () =>
    "这是 Meta 自有格式的模型。请用 transformers 的 convert_llama_weights_to_hf.py 转换，或下载带 -hf 的版本。",
  "is for llama.cpp; the Hugging Face directory that it was made from is needed": () => "这是 llama.cpp 用的文件；这里需要它所来自的 Hugging Face 文件夹。",

  // config.json and the architecture.
  "model_type is missing ({elsewhere}); architectures says {}, so it is {}": (_elsewhere, named = "", type = "") => `缺少 model_type；architectures 写的是 ${named}，因此它是 ${type}。`,
  "model_type is missing ({elsewhere}); the names of the tensors are those of {}": (_elsewhere, type = "") => `缺少 model_type；张量的名称属于 ${type}。`,
  "model_type is missing ({elsewhere}), and neither architectures nor the tensors tell it; supported: {}": (_elsewhere, known = "") =>
    `缺少 model_type，architectures 和张量也无法说明；支持的有：${known}。`,
  "model_type must be a text in quotes, one of {}": (known = "") => `model_type 必须是带引号的文本，为以下之一：${known}。`,
  "model_type is {model_type}, but the tensors are those of {}: {seen}. transformers would leave tensors out or make random ones and say so only in a warning": (type = "", other = "") =>
    `model_type 是 ${type}，但张量属于 ${other}。transformers 会丢弃一些张量，或随机生成一些，只给一个警告。`,
  "{model_type} is not a causal language model, and only those can be trained here ({})": (type = "", known = "") => `${type} 不是因果语言模型，这里只能训练因果语言模型（${known}）。`,
  'auto_map asks to run Python code that comes with the model ("{model_type}"), which is never done; the tensors are exactly those of {}, so it is read as that. Whether the code computes the same cannot be seen: check the loss afterwards':
    (type = "", known = "") => `auto_map 要求执行模型（“${type}”）随附的 Python 代码，这里从不执行；张量与 ${known} 完全一致，因此按它读取。无法判断那段代码的计算是否相同：请在之后查看损失。`,
  'model_type "{model_type}" is not known anywhere; the tensors are exactly those of {}': (type = "", known = "") => `model_type“${type}”不是已知的类型；张量与 ${known} 完全一致。`,
  'auto_map asks to run Python code that comes with the model ("{model_type}"), which is never done; supported: {}': (type = "", known = "") =>
    `auto_map 要求执行模型（“${type}”）随附的 Python 代码，这里从不执行；支持的有：${known}。`,
  "transformers knows {model_type}, but it cannot be trained here; supported: {}": (type = "", known = "") => `transformers 认识 ${type}，但这里还不能训练它；支持的有：${known}。`,
  'model_type "{model_type}" is not known, and the tensors show none that is; supported: {}.{hint}': (type = "", known = "", hint = "") =>
    `model_type“${type}”不是已知的类型，张量也不属于任何已知的类型；支持的有：${known}。${p(hint)}`,
  "this is {model_type}, the model with a vision part; only its language model, a {}, can be trained here": (type = "", known = "") =>
    `这是带视觉部分的 ${type}；这里只能训练其中的语言模型（${known}）。`,
  "{} tensors of the vision part are left out": (tensors = "") => `去掉了视觉部分的 ${tensors} 个张量。`,
  "there are weights but no config.json ({elsewhere}); names and shapes are those of the base {}, so its config.json fits": (_elsewhere, base = "") =>
    `有权重，但没有 config.json；名称和形状与基座模型 ${base} 相同，因此它的 config.json 适用。`,
  "there are weights but no config.json ({elsewhere}), and their names are those of no supported architecture; copy it from the base model": () =>
    "有权重，但没有 config.json，而且权重的名称不属于任何支持的架构；请从基座模型复制 config.json。",
  "there are weights but no config.json ({elsewhere}); the tensors are those of {}. Copy it from the base model (--base DIR): what they do not show (norm epsilon, activation, windows) is assumed to be the architecture's default otherwise":
    (_elsewhere, type = "") => `有权重，但没有 config.json；张量属于 ${type}。请从基座模型复制：张量无法表明的内容（归一化的 epsilon、激活函数、窗口）否则按该架构的默认值处理。`,
  "architectures is {other}, but model_type {} belongs to {wanted}; transformers goes by model_type, vLLM and others do not": (given = "", type = "", wanted = "") =>
    `architectures 是 ${given}，但 model_type ${type} 对应的是 ${wanted}；transformers 以 model_type 为准，vLLM 等工具则不然。`,
  "architectures is missing; transformers does without, vLLM and others want {wanted}": (wanted = "") => `缺少 architectures；transformers 不需要它，vLLM 等工具则需要 ${wanted}。`,
  "{key} is {value}, which is not a number type (transformers says \"module 'torch' has no attribute …\"); the tensors are {stored}": (key = "", value = "", stored = "") =>
    `${key} 是 ${value}，不是数值类型；张量的类型是 ${stored}。`,
  "rotary positions (theta {}) are written as transformers 5 does; version 4 and tools that follow it would silently compute with their defaults. Every directory that is written here has both spellings":
    (theta = "") => `旋转位置编码（theta ${p(theta)}）按 transformers 5 的写法书写；版本 4 及沿用它的工具会一声不响地用默认值计算。这里写出的每个文件夹都同时带有两种写法。`,
  "{names}; {elsewhere}. Take config.json from the base model": (names = "") =>
    `config.json 缺少 ${names.replace(/ (is|are) missing$/, "")}；transformers 会使用其配置类的默认值（数十亿参数的模型），直到内存耗尽。请从基座模型取 config.json。`,
  "{names}; {elsewhere}. The tensors show {}": (names = "", _elsewhere, shown = "") =>
    `config.json 缺少 ${names.replace(/ (is|are) missing$/, "")}；transformers 会使用其配置类的默认值（数十亿参数的模型），直到内存耗尽。从张量可以看出：${shown}。`,
  "vocab_size is {}, but the embedding {embedding} has {rows} rows; {elsewhere}": (size = "", embedding = "", rows = "") =>
    `vocab_size 是 ${size}，但词嵌入 ${embedding} 有 ${rows} 行；transformers 会因尺寸不符而停止。`,
  "{key} is {}, but the embedding {embedding} has {width} columns; {elsewhere}": (key = "", size = "", embedding = "", width = "") =>
    `${key} 是 ${size}，但词嵌入 ${embedding} 有 ${width} 列；transformers 会因尺寸不符而停止。`,
  "{key} is {declared}, but there are tensors of {}; {elsewhere} and only warn": (key = "", declared = "", layers = "") =>
    `${key} 是 ${declared}，但张量有 ${p(layers)}；transformers 会用随机数补上或直接丢弃多出的层，只给一个警告。`,
  "{key} is {}, but {first_layer} shows {width}; {elsewhere}": (key = "", size = "", tensor = "", width = "") => `${key} 是 ${size}，但 ${tensor} 表明是 ${width}；transformers 会因尺寸不符而停止。`,
  "{key} is {}, but {table} has {positions} rows; {elsewhere}": (key = "", size = "", table = "", rows = "") => `${key} 是 ${size}，但 ${table} 有 ${rows} 行；transformers 会因尺寸不符而停止。`,
  "{key} {given} {configured}, but {what} among the tensors; transformers would leave them out or make random ones": (key = "", given = "", configured = "", what = "") =>
    `${key}${given === "is" ? ` 是 ${configured}` : ` 没有写，即为 ${configured}`}，但张量中${what === "there are none" ? "没有" : "有"}这样的偏置；transformers 会丢弃它们，或随机生成。`,
  "the widths of the projections allow one number of heads: {}": (heads = "") => `从投影的宽度只能得出一种头数：${p(heads)}。`,
  "the tensors do not show how many heads there are; possible are {}. Only the loss on a text decides (or the base: --base DIR)": (heads = "") =>
    `从张量看不出有多少个头；可能是 ${p(heads)}。只有一段文本上的损失（或基座模型）才能判断。`,
  "the tensors do not show the base of the rotary positions (rope_theta); common are {}. Only the loss on a text decides (or the base: --base DIR)": (thetas = "") =>
    `从张量看不出旋转位置编码的底数（rope_theta）；常见的有 ${p(thetas)}。只有一段文本上的损失（或基座模型）才能判断。`,
  "{count} matrices are stored in few bits ({}): LoRA trains beside them as they are, full fine-tuning starts from what they decode to": (count = "", types = "") =>
    `${count} 个矩阵以较少的位数存储（${types.replaceAll(/(\d+) in (\S+?)(?=,|$)/g, "$2：$1 个").replaceAll(", ", "，")}）：LoRA 直接在它们旁边训练，全参数微调从解码后的数值开始。`,
  "{key} says that the weights are quantised ({scheme}), but all tensors hold plain numbers; transformers would look for scales that are not there, or quantise the weights when it loads them. The setting must go":
    (key = "", scheme = "") => `${key} 说权重经过量化（${scheme}），但所有张量都是普通的数；transformers 会去找并不存在的缩放系数，或在加载时量化权重。必须去掉这项设置。`,
  "the weights are quantised ({scheme}): {count} tensors are packed numbers or their scales. Training needs the numbers that they stand for; {way_out}": (scheme = "", count = "") =>
    `权重经过量化（${scheme}）：有 ${count} 个张量是打包的数或它们的缩放系数。训练需要它们所代表的数；请使用未量化的模型，或用 transformers 反量化后写出。`,
  "the weights are quantised ({scheme}), and training needs the numbers that they stand for; {way_out}": (scheme = "") =>
    `权重经过量化（${scheme}），而训练需要它们所代表的数；请使用未量化的模型，或用 transformers 反量化后写出。`,

  // Files.
  "stands beside {INDEX}: two sets of weights. Other tools load the single file, however old it is; remove the set that is outdated": (index = "") =>
    `它与 ${index} 并存：有两套权重。其他工具会加载单个文件，无论它多旧；请删除过时的那一套。`,
  "stands in {} too{others}; the two shards are not of one model, get them again": (file = "", others = "") =>
    `这个张量在 ${file} 中也有${p(others)}；这两个分片不属于同一个模型，请重新获取。`,
  "names {name:?} as the file of {lost} tensors, which lies outside the directory and is not read": (name = "", tensors = "") =>
    `索引把 ${name} 列为 ${tensors} 个张量所在的文件，它在文件夹之外，不会读取。`,
  "this shard ({} of {count}, with {lost} tensors) is missing; get it again": (number = "", count = "", tensors = "") => `缺少这个分片（共 ${count} 个中的第 ${number} 个，含 ${tensors} 个张量）；请重新获取。`,
  "{} more of the {count} shards that the index names are missing": (more = "", count = "") => `索引列出的 ${count} 个分片中，还缺少另外 ${more} 个。`,
  "{what}. transformers would fill such tensors with random numbers, version 4 with whatever lies in memory; the headers of the shards are right, the index must be rebuilt from them": (
    what = "",
  ) =>
    `${p(what.replace(/^the index says that this tensor is in (\S+), but it is not/, "索引说这个张量在 $1 中，其实不在").replace(/^is in (\S+), but the index does not list it/, "这个张量在 $1 中，但索引没有列出"))}。transformers 会用随机数填充这样的张量，版本 4 则用内存中的任意内容；分片的文件头是对的，必须据此重建索引。`,
  "shard {first} of {total} is missing, and so is {INDEX}; get both again": (first = "", total = "", index = "") => `缺少 ${total} 个分片中的第 ${first} 个，也缺少 ${index}；请重新获取这两个文件。`,
  "{n} of {total} shards are missing (number {first} and others), and so is {INDEX}; get them again": (n = "", total = "", first = "", index = "") =>
    `缺少 ${total} 个分片中的 ${n} 个（第 ${first} 个等），也缺少 ${index}；请重新获取。`,
  "must be called {WEIGHTS}; under this name other tools do not find it": (name = "") => `必须命名为 ${name}；现在的名称其他工具找不到。`,
  "there are {} safetensors files but no {INDEX}, without which other tools find no weights; it can be rebuilt from their headers": (files = "", index = "") =>
    `有 ${files} 个 safetensors 文件，但没有 ${index}，其他工具因此找不到权重；可以根据它们的文件头重建。`,
  "names {name:?} as a shard, which lies outside the directory and is not read": (name = "") => `索引把 ${name} 列为分片，它在文件夹之外，不会读取。`,
  "there is a configuration but no weights, neither {WEIGHTS} nor {INDEX} with its shards; copy them here": (weights = "", index = "") =>
    `有配置但没有权重：既没有 ${weights}，也没有 ${index} 及其分片；请复制到这里。`,
  "and {} more files are Python pickles, which can run code when they are loaded; they must be converted to safetensors": (more = "") =>
    `这个文件和另外 ${more} 个文件是 Python pickle，加载时可能会执行代码；必须转换成 safetensors。`,
  "is a Python pickle, which can run code when it is loaded; it must be converted to safetensors": () => "这是 Python pickle，加载时可能会执行代码；必须转换成 safetensors。",
  "has no weight_map, which says where each tensor is": () => "缺少 weight_map，它说明每个张量在哪个文件里。",
  "is mapped to something that is not a file's name in weight_map": () => "weight_map 中，这个张量对应的不是文件名。",
  "this shard is missing; get it again": () => "缺少这个分片；请重新获取。",
  "is empty; {way_out}": () => "文件是空的；请从基座模型取这个文件。",
  "breaks off at byte {}, after `{tail}`; {way_out}": (at = "", tail = "") => `内容在第 ${at} 字节处中断，前面是 \`${tail}\`；请从基座模型取这个文件，或自行修好。`,
  "is not valid JSON: {what} (line {}, column {}); {way_out}": (what = "", line = "", column = "") => `不是有效的 JSON：第 ${line} 行第 ${column} 列（${what}）；请从基座模型取这个文件，或自行修好。`,
  "this is a git-lfs pointer, not the file itself; run `git lfs pull` in the model's repository": () => "这里只有 git-lfs 指针，没有文件本身；请在模型的仓库中运行 `git lfs pull`。",
  "is UTF-16, which transformers does not read; save it as UTF-8 (in PowerShell: -Encoding utf8), or take it from the base model": () =>
    "文件是 UTF-16 编码，transformers 无法读取；请保存为 UTF-8（PowerShell 中用 -Encoding utf8），或从基座模型取这个文件。",
  "begins with a byte order mark, which transformers takes for a mistake in the JSON; save it as UTF-8 without BOM": () =>
    "文件以字节顺序标记开头，transformers 会当作 JSON 错误；请保存为不带 BOM 的 UTF-8。",
  "holds JSON, but not one object, {…}; take it from the base model": () => "内容是 JSON，但不是一个对象 {…}；请从基座模型取这个文件。",

  // Tensors.
  "{others} empty: the model was saved under DeepSpeed ZeRO-3 without gathering its parameters. The numbers are not in this file; run zero_to_fp32.py in the run's checkpoint, or save again with stage3_gather_16bit_weights_on_model_save":
    (others = "") =>
      `${others.replace(/^is$/, "这个张量是空的").replace(/^and (\S+) more tensors are$/, "这个张量和另外 $1 个张量是空的")}：模型在 DeepSpeed ZeRO-3 下没有汇总参数就保存了，数值不在这个文件里；请在那次训练的检查点里运行 zero_to_fp32.py，或设置 stage3_gather_16bit_weights_on_model_save 后重新保存。`,
  "holds {types}, and nothing in config.json says how it was quantised; transformers would take these numbers for weights. Get the weights in F32, F16 or BF16": (type = "") =>
    `类型是 ${p(type)}，config.json 中没有说明它是怎样量化的；transformers 会把这些数当作权重。请获取 F32、F16 或 BF16 的权重。`,
  "has the shape {:?}, which is transposed{others}: {} stores {layout}; transformers stops with a size mismatch": (shape = "", others = "", type = "", layout = "") =>
    `形状是 ${shape}，被转置了${p(others)}：${type} 按 ${layout.startsWith("(in") ? "（输入，输出）" : "（输出，输入）"}存放；transformers 会因尺寸不符而停止。`,
  "is a fused projection ({} of them), which this architecture has in parts; transformers would make random parts and only warn. It is assumed that queries, keys and values (and gate before up) lie one below the other, as in phi3":
    (count = "") => `这是合并的投影（共 ${count} 个），而这个架构的投影是分开的；transformers 会随机生成各部分，只给一个警告。这里假定查询、键、值（以及 gate、up）自上而下排列，与 phi3 相同。`,
  "is a part of what {} has fused ({} such groups); transformers would make random fused projections and only warn": (type = "", groups = "") =>
    `${type} 的投影是合并的，这里只是其中一部分（共 ${groups} 组）；transformers 会随机生成合并的投影，只给一个警告。`,
  '{names} "{part}", left behind by {who}. transformers would take none of these tensors, start from random weights and say so only in a warning; save the unwrapped model, or let the prefix be stripped':
    (names = "", part = "") => `${p(names)}训练包装器留下的“${part}”。transformers 一个也不会采用，而是从随机权重开始，只给一个警告；请保存去掉包装的模型，或让修复去掉这个前缀。`,
  "this is the state of a PEFT model that was not merged: {n} LoRA factors stand beside their base layers. transformers would start from random weights with only a warning; call merge_and_unload() before saving":
    (factors = "") => `这是没有合并的 PEFT 模型状态：${factors} 个 LoRA 因子与基座层并存。transformers 会从随机权重开始，只给一个警告；请在保存前调用 merge_and_unload()。`,
  "this is the state of a PEFT model without its adapter (base_layer in the names). transformers would start from random weights with only a warning; the names must lose base_layer": () =>
    "这是不含适配器的 PEFT 模型状态（名称中有 base_layer）。transformers 会从随机权重开始，只给一个警告；名称中必须去掉 base_layer。",
  'the names begin with "model." twice. transformers 5 loads this, version 4 takes random weights and only warns; one "model." must go': () =>
    "名称开头有两个“model.”。transformers 5 能加载，版本 4 会采用随机权重，只给一个警告；必须去掉一个“model.”。",
  'the names lack "model.": the base model was saved instead of the causal language model. transformers 5 loads this, version 4 says "The state dictionary of the model you are trying to load is corrupted"; "model." must be put in front':
    () => "名称缺少“model.”：保存的是基础模型，而不是因果语言模型。transformers 5 能加载，版本 4 会说文件已损坏；必须在前面加上“model.”。",
  'this is a reward or value head, which a language model does not have; it is ignored (transformers says "Some weights of the model checkpoint were not used")': () =>
    "这是奖励头或价值头，语言模型没有这一部分；它会被忽略。",
  "there is no lm_head.weight, and config.json {declared} (tie_word_embeddings); transformers would make a random head, with a loss near ln({}) = {chance:.2}, and only warn": (
    _declared,
    vocabulary = "",
    chance = "",
  ) => `没有 lm_head.weight，config.json 也没有说明词嵌入就是输出头（tie_word_embeddings）；transformers 会随机生成输出头，损失接近 ln(${vocabulary}) = ${chance}，只给一个警告。`,
  "none of the {} tensors of a {model_type} model is here{example}: these are the weights of something else. transformers would start from random weights and only warn": (
    tensors = "",
    type = "",
    example = "",
  ) => `${type} 模型的 ${tensors} 个张量一个也没有${p(example)}：这是别的东西的权重。transformers 会从随机权重开始，只给一个警告。`,
  "{what} is missing; {random}. Get complete weights: it cannot be made up": (what = "") => `缺少${p(what).startsWith("第") ? "" : " "}${p(what)}；${random}。请获取完整的权重：它无法补造。`,
  "{} more tensors are missing{layers} ({} of {} in all)": (more = "", layers = "", missing = "", all = "") => `还缺少另外 ${more} 个张量${p(layers)}（总共缺 ${missing} 个，应有 ${all} 个）。`,
  "has the shape {:?}, config.json asks for {wanted:?}; transformers stops with a size mismatch": (shape = "", wanted = "") =>
    `形状是 ${shape}，而 config.json 要求 ${wanted}；transformers 会因尺寸不符而停止。`,
  "{} more tensors have other shapes than config.json asks for": (more = "") => `另有 ${more} 个张量的形状与 config.json 的要求不符。`,
  "is not a tensor of the {model_type} model of {} layers that config.json declares{more}; transformers would leave it out and only warn": (type = "", layers = "", more = "") =>
    `config.json 声明的是 ${layers} 层的 ${type} 模型，没有这个张量${p(more)}；transformers 会丢弃它，只给一个警告。`,
  "the embedding is stored only under the head's name. transformers 4 would take a random embedding and only warn; it must be called like the embedding": () =>
    "词嵌入只以输出头的名称保存。transformers 4 会采用随机的词嵌入，只给一个警告；必须改成词嵌入的名称。",
  "differs from the embedding, though config.json says that the two are one (tie_word_embeddings); transformers 4 would throw this head away without a word": () =>
    "它与词嵌入不同，而 config.json 说两者是同一个（tie_word_embeddings）；transformers 4 会一声不响地丢弃这个输出头。",

  // The numbers.
  "all {} numbers are zero: this tensor was never loaded or never gathered when the model was saved. Other tools load it without a word; save the model again": (numbers = "") =>
    `${numbers} 个数全为零：保存模型时，这个张量从未加载或从未汇总。其他工具会一声不响地加载它；请重新保存模型。`,
  "holds numbers up to {:e}, which no trained model has: the run was about to diverge; compare with an earlier checkpoint": (largest = "") =>
    `其中的数大到 ${largest}，训练好的模型不会这样：训练当时快要发散；请与更早的检查点比较。`,
  "{} more tensors {what}": (more = "", what = "") =>
    `另有 ${more} 个张量${what.replace("hold NaN or infinite numbers", "含有 NaN 或无穷大").replace("are all zero", "全为零").replace("hold numbers of absurd size", "含有大得离谱的数")}。`,
  "{} among {} numbers: the training run diverged, or the file is damaged. Other tools load it without a word and compute NaN; take an earlier checkpoint": (what = "", numbers = "") =>
    `${numbers} 个数中有 ${p(what)}：训练已经发散，或文件损坏。其他工具会一声不响地加载它并算出 NaN；请使用更早的检查点。`,
  "all matrices look {looks}. Nothing is wrong with a model that is still to be trained; if this one was, its weights were not loaded when it was saved (other tools take random numbers for missing tensors and only warn)":
    () => "所有矩阵都像初始化时的样子：同一种随机分布，各行各列没有差别。对尚未训练的模型来说这没有问题；如果它本应训练过，那么保存时权重没有加载（其他工具会用随机数代替缺少的张量，只给一个警告）。",
  "the matrices of {} look {looks}, the others do not. Were these tensors missing when the model was loaded? Other tools fill them with random numbers, only warn, and save them like the rest; compare with the base (--base DIR)":
    (which = "") => `${p(which)}的矩阵像初始化时的样子，其余的则不是。加载模型时是否缺少这些张量？其他工具会用随机数填充，只给一个警告，并照常保存；请与基座模型比较。`,

  // Tokenizer and settings.
  "no text becomes tokens: {reason}; take the tokenizer from the base model": (reason = "") => `任何文本都不能变成词元：${reason}；请从基座模型取分词器。`,
  "the chat template takes no conversation of those that were tried: {reason}. Mend it, or take it from the base model": (reason = "") =>
    `试过的对话，对话模板一个也不接受：${reason}。请修好它，或从基座模型取。`,
  "there is only {name} ({what}), no tokenizer.json; convert it once with: python -c \"from transformers import AutoTokenizer; AutoTokenizer.from_pretrained('{label}').save_pretrained('{label}')\", or {way_out}":
    (name = "", _what, label = "") =>
      `只有 ${name}，没有 tokenizer.json；请转换一次：\`python -c "from transformers import AutoTokenizer; AutoTokenizer.from_pretrained('${label}').save_pretrained('${label}')"\`，或从基座模型取分词器。`,
  "there is no tokenizer; transformers says \"Couldn't instantiate the backend tokenizer\"; {way_out}": () => "没有分词器；请从基座模型复制 tokenizer.json 和 tokenizer_config.json。",
  "the tokenizer gives ids up to {last}, but {name} has {rows} rows; other tools fail with an index error or compute nonsense as soon as such a token comes. Use the tokenizer that the model was trained with, or add rows":
    (largest = "", name = "", rows = "") => `分词器的编号最大为 ${largest}，但 ${name} 只有 ${rows} 行；一遇到这样的词元，其他工具就会出现索引错误或算出胡话。请使用训练该模型时的分词器，或增加行。`,
  "{}, which it cannot be: a token is named by its number, and the others are numbers too (do_sample is true or false). transformers stops when it generates; correct or remove it": (list = "") =>
    `${list.replaceAll(" is ", " 是 ")}，这不可能：词元用编号表示，其余的也都是数字（do_sample 为 true 或 false）。transformers 生成时会停止；请改正或删除。`,
  "{list} while do_sample is false: {first} does nothing then, and transformers refuses to save the model again, at the end of a training run": (list = "", first = "") =>
    `do_sample 为 false，却设置了 ${list}：${first} 不起作用，而且训练结束时 transformers 会拒绝保存模型。`,
  "{key} is {given}, but the vocabulary has {vocabulary} tokens; {effect}; {there}": (key = "", given = "", vocabulary = "", effect = "", there = "") =>
    `${key} 是 ${p(given)}，但词表只有 ${vocabulary} 个词元：${p(effect)}；${p(there)}。`,
  "there is no chat template: fine for a base model. Conversations are written as lines that begin with \"User:\" and \"Assistant:\", and a trained model gets that template; for another form put chat_template.jinja here before training":
    () => "没有对话模板：对基座模型来说没有问题。对话会写成以“User:”和“Assistant:”开头的行，训练后的模型也带上这个模板；要用别的形式，请在训练前把 chat_template.jinja 放进来。",
  'tokenizer_class is TokenizersBackend, which only transformers 5 knows; version 4 says "Tokenizer class TokenizersBackend does not exist". Every directory that is written here says PreTrainedTokenizerFast, which both know':
    () => "tokenizer_class 是 TokenizersBackend，只有 transformers 5 认识。这里写出的每个文件夹都用两个版本都认识的 PreTrainedTokenizerFast。",
  "there is no generation_config.json; transformers derives one from config.json": () => "没有 generation_config.json；transformers 会从 config.json 推出。",

  // Behaviour, and the comparison with a base.
  "loss on an English text: {loss:.3} nats a token (chance is {chance:.2}){line}": (loss = "", chance = "", line = "") => `一段英文文本上的损失：每个词元 ${loss} 奈特（随机猜测为 ${chance}）${p(line)}。`,
  "all shapes fit, but the number of heads is wrong: with {} heads of {}, as config.json says, its loss on a text is {:.3}, with {} it is {:.3}. Other tools compute nonsense without a word": (
    heads = "",
    width = "",
    loss = "",
    better = "",
    less = "",
  ) => `形状都相符，但头数不对：按 config.json 所说的 ${heads} 个宽 ${width} 的头，一段文本上的损失是 ${loss}；按 ${p(better)}，损失是 ${less}。其他工具会一声不响地算出胡话。`,
  "the rotary positions are not those that the model was trained with: with {}, {given}, its loss on a text is {:.3}, with {} it is {:.3}. Other tools compute worse without a word": (
    theta = "",
    _given,
    loss = "",
    better = "",
    less = "",
  ) => `旋转位置编码不是训练时所用的：用 ${p(theta)}，一段文本上的损失是 ${loss}；用 ${p(better)}，损失是 ${less}。其他工具会一声不响地算得更差。`,
  "{seen}. It was trained on something narrower or other than this text: its loss is above chance, but in {language} it tells what comes next from other words of the text, which no random model does":
    (seen = "", language = "") => `${p(seen)}。它是用内容更窄或与此不同的文本训练的：损失高于随机猜测，但在${p(language)}中它能根据前面的词判断后面的内容，随机的模型做不到。`,
  "{seen}. What it predicts has nothing to do with what it reads, neither in English nor in {}. A model fresh from its initialisation is like that; if this one should be trained (on one of these), its weights or settings are not those that it was trained with, and other tools would train on from here without a word: compare it with its base (--base DIR)":
    (seen = "", languages = "") =>
      `${p(seen)}。它的预测与它读到的内容无关，英文如此，${languages.split(", ").map(p).join("、")}也如此。刚初始化的模型就是这样；如果它本应（用其中一种语言）训练过，那么权重或设置就不是训练时所用的，其他工具会一声不响地从这里继续训练：请与基座模型比较。`,
  "the model was not run: {reason}": (reason = "") => `没有运行模型：${p(reason)}。`,
  "the directory given as base is a {}, this is a {}: it is another model's base, so nothing was compared": (base = "", type = "") =>
    `给出的基座是 ${base}，而这是 ${type}：那是另一个模型的基座，因此没有比较。`,
  "{what} from the base's: {how}. Training does not change this; other tools compute something else without a word. If it was not changed on purpose, take the base's": (what = "", how = "") =>
    `与基座模型相比，${p(what)}：${p(how)}。训练不会改变这一点；其他工具会一声不响地算出别的结果。如果不是有意修改的，请采用基座模型的值。`,
  "{alone} of {} tensors have no counterpart of the same shape in the base: it is another model's": (alone = "", all = "") =>
    `${all} 个张量中有 ${alone} 个在基座模型中没有形状相同的对应张量：那是另一个模型的基座。`,
  "none of the {} tensors differs from the base{more}: the run changed nothing, or its result lies elsewhere (an adapter beside it?)": (tensors = "", more = "") =>
    `${tensors} 个张量与基座模型全都相同${p(more)}：训练什么也没有改变，或结果在别的地方（旁边的适配器？）。`,
  "{} of {} tensors differ from the base{more}; by {} of their norm in the middle, and most by {} in {name}": (moved = "", all = "", more = "", median = "", largest = "", name = "") =>
    `${all} 个张量中有 ${moved} 个与基座模型不同${p(more)}；变化的中位数是其范数的 ${median}，最大的是 ${name} 的 ${largest}。`,
  "has nothing left of the base's numbers{others}: it differs by {} of their norm. It looks set anew at random; was it missing when the model was saved or loaded?": (others = "", share = "") =>
    `与基座模型的数值已毫无关系${p(others)}：相差达其范数的 ${share}。看起来是重新随机生成的；保存或加载模型时是否缺少它？`,
};
