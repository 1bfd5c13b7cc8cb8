// What the page and its worker say to each other. Generated from src/web/messages by its unit test; to write it anew:
// UPDATE_MESSAGES=1 cargo test --lib messages

/** A recipe's keys with their values. */
export type Settings = Record<string, SettingValue>;

/** A kept adapter and how much of it is added. */
export type AdapterPart = {
  /** The id of its run. */
  id: string,
  /** 1 adds it as it was trained, 0 nothing of it. */
  strength: number
};

/** An answer that has ended. */
export type Answered = {
  /** The whole text. */
  text: string,
  /** Tokens of the answer. */
  tokens: number,
  /** Tokens a second. */
  tokens_per_second: number,
  /** stop, length, context or cancelled. */
  finish: string
};

/** An opened base. */
export type Base = {
  /** What to call it. */
  name: string,
  /** Its files. */
  files: Array<FileSize>,
  /** The validation's report, from the headers. */
  report: Report,
  /** Fields of config.json that a person compares. */
  config: Settings,
  /** Whether it brings a chat template. */
  chat_template: boolean,
  /** Whether it is the embedded model or was made from it: the page's examples are written for that. */
  village: boolean
};

/** Where a base is. */
export type BaseSource = {
  "kind": "embedded"
}
  | {
  "kind": "files",
  /** The folder's name. */
  name: string
}
  | {
  "kind": "url",
  /** The id or the address. */
  url: string
}
  | {
  "kind": "run",
  /** Its id. */
  id: string
}
  | {
  "kind": "grown",
  /** The adapter's id. */
  id: string
};

/** A message of a conversation. */
export type ChatMessage = {
  /** system, user or assistant. */
  role: string,
  /** What was said. */
  content: string
};

/** The columns of a table, or the fields of JSON records, that are learned. */
export type Columns = {
  /** The question; or the text, where there is no answer. */
  prompt: string,
  /** The answer. */
  response: string | null
};

/** A dataset file: its text, or the path of a file that travels beside the request. */
export type DataFile = {
  /** Its name; the ending says how it is read. */
  name: string,
  /** What it holds, where that was typed or pasted. */
  text?: string | null,
  /**
 * Where there is no text: the path of the file among those beside the request. It is read a piece at a time, and packed files are unpacked. What is prepared
 * is known by this path, so another content has another one.
 */
  file?: string | null,
  /** Which of its columns are learned; without it its first record says. */
  columns?: Columns | null
};

/** The data that a model learns from. */
export type DataSource = {
  "kind": "example",
  /** Its name. */
  name: string
}
  | {
  "kind": "files",
  /** One after the other. */
  files: Array<DataFile>
};

/** One parameter's update. */
export type Delta = {
  /** The parameter. */
  name: string,
  /** Absent for what stands outside the layers. */
  layer: number | null,
  /** What it is in its layer. */
  module: string,
  /** Frobenius norm of the update. */
  delta_norm: number,
  /** Frobenius norm of the base's weight. */
  weight_norm: number,
  /** Of the update, largest first; empty for what is no matrix. */
  singular_values: Array<number>,
  /** (out, in) */
  shape: Array<number>
};

/** The graphics device. */
export type Device = {
  /** The name that the browser gives. */
  name: string,
  /** Its family, which decides about its kernels: `nvidia-like`, `amd`, `apple` … */
  family: string,
  /** Whether the processor computes: correct, and slow. */
  software: boolean,
  /** Half precision in shaders. */
  f16: boolean,
  /** Subgroup operations. */
  subgroups: boolean,
  /** The largest buffer. */
  max_buffer_bytes: number,
  /** The largest part of a buffer that a shader sees at once. */
  max_binding_bytes: number,
  /** Memory for buffers, where the browser tells. */
  memory_bytes: number | null
};

/** How a run ended. */
export type Ended = {
  /** The run, as it is kept. */
  run: Run,
  /** Whether it came to its end, or was stopped. */
  finished: boolean,
  /** Mean of the steps' losses. */
  train_loss: number | null,
  /** The last evaluation's. */
  eval_loss: number | null,
  /** Seconds of this part of the run. */
  seconds: number,
  /** Tokens a second. */
  tokens_per_second: number | null,
  /** The most GPU memory in use at one time. */
  peak_bytes: number | null
};

/** What a run would need and do. */
export type Estimate = {
  /** Parameters that are trained. */
  trainable: number,
  /** All parameters. */
  parameters: number,
  /** GPU memory. */
  memory: EstimateMemory,
  /** What the device offers; unknown in many browsers. */
  available: number | null,
  /** Whether it fits, as far as that is known. */
  fits: boolean,
  /** A sentence where it does not. */
  obstacle: string | null,
  /** What would make it fit. */
  suggestions: Array<Suggestion>,
  /** Optimiser steps. */
  steps: number,
  /** Bytes that the run's snapshots and its result will take in this browser. */
  storage_bytes: number,
  /** Answers that the model would write on the way. */
  answers: number,
  /** Seconds that they would take, which `seconds` does not hold; unknown before a model answered on this device. */
  answer_seconds: number | null,
  /** Seconds that it would take; unknown before anything was measured here. */
  seconds: number | null,
  /** Notices about the settings. */
  notices: Array<string>
};

/** GPU memory of a run in bytes, as planned. */
export type EstimateMemory = {
  weights: number,
  gradients: number,
  optimizer: number,
  activations: number,
  other: number,
  peak: number
};

/** An evaluation. */
export type EvalLine = {
  /** Steps done. */
  current_steps: number,
  /** Loss on the evaluation samples. */
  eval_loss: number,
  /** Preferences: what the answers gain. */
  rewards: Rewards | null
};

/** What happens while a request is worked on. */
export type Event = {
  "kind": "progress",
  /** How far. */
  progress: Progress
}
  | {
  "kind": "started",
  /** Its id among the stored runs. */
  run: string,
  /** Where it begins: 0, or the snapshot's step. */
  step: number,
  /** Its steps. */
  steps: number,
  /** The log so far of a run that goes on. */
  lines: Array<StepLine>,
  /** Its evaluations so far. */
  evaluations: Array<EvalLine>,
  /** Its answers so far. */
  answers: Array<SampleLine>
}
  | {
  "kind": "step",
  /** The line. */
  line: StepLine
}
  | {
  "kind": "evaluation",
  /** Its line. */
  line: EvalLine
}
  | {
  "kind": "writing",
  /** Steps done. */
  step: number,
  /** The prompt. */
  prompt: string,
  /** What was added; empty at its begin. */
  text: string
}
  | {
  "kind": "sample",
  /** The answer. */
  line: SampleLine
}
  | {
  "kind": "saved",
  /** Of which step. */
  step: number
}
  | {
  "kind": "paused",
  /** Steps done. */
  step: number
}
  | {
  "kind": "resumed",
  /** Steps done. */
  step: number
}
  | {
  "kind": "notice",
  /** In words. */
  words: string
}
  | {
  "kind": "device_lost",
  /** Of which step; 0 begins anew. */
  step: number,
  /** The browser's reason. */
  cause: string
}
  | {
  "kind": "text",
  /** What was added. */
  text: string
}
  | {
  "kind": "finished",
  /** Steps done. */
  step: number,
  /** The run's id. */
  run: string
};

/** A dataset that comes with the page. */
export type Example = {
  /** Its name. */
  name: string,
  /** What it teaches. */
  about: string,
  /** Its records. */
  records: number,
  /** The example to evaluate on. */
  held_out: string | null,
  /** A few questions that the model does not learn from, with their right answers. */
  asked: Array<Exchange>
};

/** A question and its right answer. */
export type Exchange = {
  /** The question. */
  question: string,
  /** The answer. */
  answer: string
};

/** A request that failed. */
export type Failure = {
  /** What kind of failure it is. */
  code: FailureCode,
  /** What happened, where, and what to do. */
  sentence: string,
  /** What it is about. */
  place: Place
};

/** What kind of failure it is. */
export type FailureCode = "not_found"
  | "permission_denied"
  | "already_exists"
  | "in_use"
  | "no_space"
  | "truncated"
  | "too_large"
  | "not_json"
  | "wrong_type"
  | "file"
  | "line"
  | "config"
  | "tensor"
  | "not_ready"
  | "recipe"
  | "dataset"
  | "records"
  | "device"
  | "too_little_memory"
  | "gpu"
  | "not_finite"
  | "out_of_turn"
  | "cancelled"
  | "request";

/** A file and its size. */
export type FileSize = {
  /** Path inside the directory. */
  name: string,
  /** Bytes. */
  bytes: number
};

/** A finding of the validator, as its report writes it. */
export type Finding = {
  /** Which fault of the table in docs/checkpoint-faults.md. */
  code: FindingCode,
  severity: Severity,
  /** Plain words. */
  message: string,
  /** The message with braces for its values, the same for each of its kind; nothing where the message comes from elsewhere. */
  pattern: string | null,
  /** What stands in place of the pattern's braces, in their order. */
  values: Array<string>,
  file: string | null,
  tensor: string | null,
  /** What a repair does, or nothing where a person has to act. */
  repair: string | null
};

/** A fault of the table in docs/checkpoint-faults.md. */
export type FindingCode = "not_a_model"
  | "missing_config"
  | "adapter_only"
  | "model_and_adapter"
  | "parent_of_checkpoints"
  | "meta_format"
  | "gguf"
  | "zero_shards"
  | "fsdp_shards"
  | "no_weights"
  | "pickle_weights"
  | "misnamed_weights"
  | "missing_index"
  | "damaged_index"
  | "index_mismatch"
  | "missing_shard"
  | "two_weight_sets"
  | "truncated_file"
  | "damaged_file"
  | "lfs_pointer"
  | "outside_directory"
  | "unreadable_file"
  | "invalid_json"
  | "byte_order_mark"
  | "missing_model_type"
  | "unknown_model_type"
  | "remote_code"
  | "vision_part"
  | "not_causal"
  | "wrong_model_type"
  | "wrong_architectures"
  | "wrong_field_type"
  | "missing_field"
  | "unsupported_value"
  | "layer_count"
  | "vocab_size"
  | "wrong_size"
  | "dtype_spelling"
  | "quantised"
  | "stored_in_few_bits"
  | "spelling_for_one_version"
  | "wrapper_prefix"
  | "doubled_prefix"
  | "missing_prefix"
  | "unmerged_peft"
  | "value_head"
  | "missing_head"
  | "tied_head_differs"
  | "embedding_under_head"
  | "missing_tensor"
  | "unexpected_tensor"
  | "wrong_shape"
  | "empty_tensors"
  | "transposed"
  | "fused_projection"
  | "split_projection"
  | "duplicate_tensor"
  | "odd_dtype"
  | "no_tokenizer"
  | "slow_tokenizer"
  | "damaged_tokenizer"
  | "tokenizer_too_large"
  | "tokenizer_class"
  | "random_tokenizer"
  | "bad_template"
  | "no_chat_template"
  | "no_generation_config"
  | "bad_generation_config"
  | "special_ids"
  | "pad_id"
  | "sampling_flags"
  | "not_finite"
  | "all_zero"
  | "outliers"
  | "random_weights"
  | "loss_near_chance"
  | "head_split"
  | "rope_unclear"
  | "config_differs_from_base"
  | "other_base"
  | "changed_since_base"
  | "unchanged_since_base"
  | "not_run"
  | "self_test"
  | "adapter_config"
  | "adapter_weights"
  | "full_model_as_adapter";

/** A GGUF file that was written. */
export type GgufFile = {
  /** Where it is. */
  file: StoredFile,
  /** What the format says otherwise than the model, a sentence each. */
  remarks: Array<string>
};

/** The type of the matrices in a GGUF file. */
export type GgufType = "f32"
  | "f16"
  | "bf16"
  | "q8_0"
  | "q4_0";

/** How well a model predicts a run's own samples. */
export type HeldOutScore = {
  /** Mean loss a target token, in nats. */
  loss: number,
  /** Samples that were looked at. */
  samples: number,
  /** Whether the run held them out; else it learned from them. */
  held_out: boolean
};

/** What a directory holds. */
export type Kind = "model"
  | "adapter"
  | "model_and_adapter"
  | "run"
  | "zero"
  | "fsdp"
  | "meta"
  | "gguf"
  | "unknown";

/** A token that could have come. */
export type Likely = {
  /** Its text. */
  text: string,
  /** From 0 to 1. */
  probability: number
};

/** What a failure is about. What does not apply is absent. */
export type Place = {
  /** The file, inside the folder that was given. */
  file?: string,
  /** Its line, from 1. */
  line?: number,
  /** The field of a JSON file. */
  field?: string,
  /** The tensor of a weight file. */
  tensor?: string,
  /** The recipe's key. */
  key?: string,
  /** The dataset. */
  dataset?: string,
  /** The training step, from 1. */
  step?: number
};

/** What a tokenizer makes of data. */
export type Preview = {
  /** Records read. */
  records: number,
  /** Samples to train on. */
  samples: number,
  /** Samples to evaluate on. */
  evaluation_samples: number,
  /** Tokens of the training samples. */
  tokens: number,
  /** Those that are learned. */
  trained: number,
  /** Records that were cut at cutoff_len. */
  truncated: number,
  /** Records that leave nothing to learn. */
  dropped: number,
  /** Tokens of the longest sample. */
  longest: number,
  /** The `cutoff_len` at which nothing is cut, or the model's own limit where that is lower. */
  needs: number,
  /** Notices about the data. */
  notices: Array<string>,
  /** Some samples. */
  shown: Array<PreviewSample>
};

/** An answer of a sample of preferences. */
export type PreviewAnswer = {
  /** preferred, rejected, good, bad, or other: of another prompt, for comparison. */
  role: string,
  /** One past its last token. */
  end: number
};

/** A sample as the model sees it. */
export type PreviewSample = {
  /** Its tokens. */
  tokens: Array<PreviewToken>,
  /** How many of them are learned. */
  trained: number,
  /** Whether it fills cutoff_len. */
  truncated: boolean,
  /** The line of the file that it began at. */
  line: number,
  /** Preferences: its answers, one after the other. */
  answers: Array<PreviewAnswer>
};

/** A token of a sample. */
export type PreviewToken = {
  /** Its text. */
  text: string,
  /** Whether it is learned, or only read. */
  trained: boolean
};

/** The progress of a long task. */
export type Progress = {
  /** What is being done. */
  what: string,
  /** How much is done. */
  done: number,
  /** How much there is; unknown where a server does not say. */
  total: number | null,
  /** What is counted. */
  unit: Unit
};

/** A recipe that was read. */
export type ReadRecipe = {
  /** Its keys as they were written, without paths: a page has none. */
  recipe: Settings,
  /** What to know: keys that have no meaning here, paths that were left out. */
  notes: Array<string>
};

/** A key of recipes, from the table that `docs/recipes.md` is written from. */
export type RecipeKey = {
  /** The key. */
  name: string,
  /** The part of a recipe that it belongs to. */
  group: string,
  /** What values it takes, in words. */
  values: string,
  /** What stands for it when it is absent; empty for nothing. */
  default: string,
  /** One line on what it does. */
  help: string
};

/** A repaired base. */
export type Repaired = {
  /** The repaired copy, open. */
  base: Base,
  /** What was done, a sentence each. */
  done: Array<string>,
  /** Its id among the stored models. */
  id: string
};

/** The replies, by the request's kind. Requests that are not named answer nothing. */
export type Replies = {
  device: Device | null,
  tune: null,
  measure_kernels: null,
  speed: Speed,
  open: Base,
  validate: Report,
  repair: Repaired,
  examples: Array<Example>,
  columns: Array<string>,
  prepare: Preview,
  estimate: Estimate,
  measure: null,
  keys: Array<RecipeKey>,
  read_recipe: ReadRecipe,
  write_recipe: string,
  train: Ended,
  go_on: Ended,
  pause: null,
  resume: null,
  stop: null,
  save: null,
  skip: null,
  runs: Array<Run>,
  describe: Run,
  log: RunLog,
  remove: null,
  storage: Storage,
  tuned: Run,
  chat: Answered,
  losses: Array<TokenLoss>,
  evaluate: Score,
  held_out: HeldOutScore,
  look: Array<SeenToken>,
  adapt: Array<string>,
  truncate: Truncated,
  shape_memory: ShapeMemory,
  deltas: Array<Delta>,
  adopt: Run,
  merge: Run,
  files: Array<StoredFile>,
  gguf: GgufFile,
  drop_gguf: null,
  cancel: null
};

/** The whole judgement of a directory. */
export type Report = {
  /** What follows from the findings. */
  verdict: Verdict,
  /** What the directory holds. */
  kind: Kind,
  /** The architecture, where it is known. */
  model_type: string | null,
  /** Number of parameters, a tied head counted once; of what the weight files hold, where the architecture is not known. */
  parameters: number | null,
  /** The names that `lora_target` may have, in the order of a layer; empty where the directory is no base for LoRA. */
  lora_targets: Array<string>,
  /** Loss of the self-test in nats a token, where it ran. */
  loss?: number,
  /** What blocks most comes first. */
  findings: Array<Finding>
};

/** What the page asks for. */
export type Request = {
  "kind": "device"
}
  | {
  "kind": "tune",
  /** The choice. */
  tuning: string
}
  | {
  "kind": "measure_kernels"
}
  | {
  "kind": "speed",
  /** Whose shape: `embedded` or `SmolLM2-135M`. */
  model: string
}
  | {
  "kind": "open",
  /** Where it is. */
  source: BaseSource
}
  | {
  "kind": "validate"
}
  | {
  "kind": "repair"
}
  | {
  "kind": "examples"
}
  | {
  "kind": "columns",
  /** The file. */
  file: DataFile
}
  | {
  "kind": "prepare",
  /** What is trained on. */
  data: DataSource,
  /** What is evaluated on; without it `val_size` holds records out. */
  evaluation: DataSource | null,
  /** The settings. */
  recipe: Settings,
  /** The first sample to show, from 0. */
  first: number,
  /** How many to show. */
  count: number
}
  | {
  "kind": "estimate",
  /** The settings. */
  recipe: Settings,
  /** What the model is asked while it learns. */
  samples: Samples | null
}
  | {
  "kind": "measure"
}
  | {
  "kind": "keys"
}
  | {
  "kind": "read_recipe",
  /** Its text. */
  yaml: string
}
  | {
  "kind": "write_recipe",
  /** The settings. */
  recipe: Settings
}
  | {
  "kind": "train",
  /** The settings. */
  recipe: Settings,
  /** What the model is asked while it learns. */
  samples: Samples,
  /** Whether it may go on beside other such runs of the session: each takes a step in turn, so that they can be compared while they learn. */
  beside?: boolean
}
  | {
  "kind": "go_on",
  /** The run. */
  run: string,
  /** As of `train`. */
  beside?: boolean
}
  | {
  "kind": "pause"
}
  | {
  "kind": "resume"
}
  | {
  "kind": "stop"
}
  | {
  "kind": "save"
}
  | {
  "kind": "skip"
}
  | {
  "kind": "runs"
}
  | {
  "kind": "describe",
  /** Its id. */
  id: string,
  /** Its new name; an empty one leaves the old. */
  name: string,
  /** The notes. */
  notes: string
}
  | {
  "kind": "log",
  /** Its id. */
  id: string
}
  | {
  "kind": "remove",
  /** Its id. */
  id: string
}
  | {
  "kind": "storage"
}
  | {
  "kind": "tuned",
  /** Its id. */
  id: string
}
  | {
  "kind": "chat",
  /** Which model. */
  which: Which,
  /** The conversation, ending with a user's message. */
  messages: Array<ChatMessage>,
  /** How tokens are chosen. */
  sampling: Sampling
}
  | {
  "kind": "losses",
  /** Which model. */
  which: Which,
  /** The text. */
  text: string
}
  | {
  "kind": "evaluate",
  /** Which model: the base or the tuned one. */
  which: Which,
  /** The data. */
  data: DataSource,
  /** Samples are cut after so many tokens; without it, where the model's own limit is. */
  cutoff_len: number | null
}
  | {
  "kind": "held_out",
  /** Which model: the base or the tuned one. */
  which: Which,
  /** The run whose data it is. */
  run: string
}
  | {
  "kind": "look",
  /** Which model. */
  which: Which,
  /** The conversation, ending with an assistant's message. */
  messages: Array<ChatMessage>,
  /** The settings, which say what is learned. */
  recipe: Settings,
  /** How many of the likeliest tokens to tell for each place. */
  likeliest: number
}
  | {
  "kind": "adapt",
  /** Added one after the other; none leaves the base. */
  parts: Array<AdapterPart>
}
  | {
  "kind": "truncate",
  /** The rank of each matrix. */
  rank: number
}
  | {
  "kind": "shape_memory",
  /** The text of its config.json. */
  config: string,
  /** The settings. */
  recipe: Settings,
  /** Tokens of each sample. */
  tokens: number
}
  | {
  "kind": "deltas"
}
  | {
  "kind": "adopt",
  /** The folder's name. */
  name: string
}
  | {
  "kind": "merge",
  /** Merge what `adapt` put on the open base instead, each adapter in its strength. */
  adapted?: boolean
}
  | {
  "kind": "files",
  /** Its id. */
  id: string
}
  | {
  "kind": "gguf",
  /** Its id. */
  id: string,
  /** The type of the file's matrices. */
  outtype: GgufType,
  /** Of an adapter: the adapter by itself instead of base and adapter in one. */
  alone?: boolean
}
  | {
  "kind": "drop_gguf",
  /** Its id. */
  id: string
}
  | {
  "kind": "cancel",
  /** The other request's id. */
  request: number
};

/** What stages dpo and kto tell about answers. */
export type Rewards = {
  /** Mean reward of preferred answers. */
  chosen: number | null,
  /** Mean reward of rejected answers. */
  rejected: number | null,
  /** Share of pairs whose preferred answer has the higher reward. */
  accuracy: number | null
};

/** A run or a model that is kept in this browser. */
export type Run = {
  /** Its id. */
  id: string,
  /** What to call it. */
  name: string,
  /** Where what it was made from is. */
  source: BaseSource,
  /** The name of its folder when it is taken home. */
  folder: string,
  /** How it came about. */
  method: RunMethod,
  /** The name of what it was made from. */
  base: string,
  /** What it takes in this browser. */
  bytes: number,
  /** What of it is taken home: without snapshots. */
  result_bytes: number,
  /** Steps done. */
  step: number,
  /** Steps of the run; 0 for what was not trained. */
  steps: number,
  /** Whether it came to its end. One that did not can go on. */
  finished: boolean,
  /** Whether there is something that can be used: a result or a snapshot. */
  usable: boolean,
  /** Whether it is being written now, here or in another tab. */
  live: boolean,
  /** Whether it is a whole model, which can be a base; an adapter is not. */
  model: boolean,
  /** Milliseconds since 1970. */
  created: number,
  /** The last training loss of the log. */
  train_loss: number | null,
  /** The last evaluation's loss. */
  eval_loss: number | null,
  /** Seconds that its parts took so far, where that is known. */
  seconds: number | null,
  /** The settings that it was started with; none for what was not trained. */
  recipe: Settings,
  /** What it learned from. */
  data: string | null,
  /** What its owner noted. */
  notes: string
};

/** What a stored run logged. */
export type RunLog = {
  /** Its steps. */
  lines: Array<StepLine>,
  /** Its evaluations. */
  evaluations: Array<EvalLine>,
  /** Its answers. */
  answers: Array<SampleLine>
};

/** How a stored model came about. */
export type RunMethod = "full"
  | "lora"
  | "freeze"
  | "merge"
  | "repair"
  | "copy";

/** An answer of a model that learns. */
export type SampleLine = {
  /** Steps done; 0 is before the first. */
  step: number,
  /** The prompt. */
  prompt: string,
  /** The answer. */
  text: string,
  /** stop, length, context, skipped, or refused: then the answer says why. */
  finish: string
};

/** The prompts that the model answers while it learns. */
export type Samples = {
  /** Number of steps between two rounds of answers; 0 asks never. */
  every: number,
  /** User messages, each answered on its own. */
  prompts: Array<string>,
  /** Most tokens of an answer. */
  max_new_tokens: number
};

/** How tokens are chosen. */
export type Sampling = {
  /** 0 takes the likeliest token. */
  temperature: number,
  /** Keep the likeliest tokens that together reach this probability; 1 keeps all. */
  top_p: number,
  /** Most tokens of the answer. */
  max_new_tokens: number,
  /** Seed of the draws. */
  seed: number
};

/** How well a model predicts samples. */
export type Score = {
  /** Sum over target tokens / number of target tokens, in nats. */
  loss: number,
  /** e^loss. */
  perplexity: number,
  /** Target tokens. */
  tokens: number,
  /** Samples. */
  samples: number,
  /** The mean of the samples' shares of targets that are the likeliest token, where that was asked for. */
  accuracy?: number
};

/** A token of a conversation as training sees it. */
export type SeenToken = {
  /** Its text. */
  text: string,
  /** Whether it is learned, or only read. */
  trained: boolean,
  /** How little the model expected it, in nats; the first token has none. */
  loss: number | null,
  /** What the model expected in its place, the likeliest first. */
  likeliest: Array<Likely>
};

/** The value of a recipe's key. */
export type SettingValue = boolean
  | number
  | string;

/** The severity of a finding. */
export type Severity = "error"
  | "warning"
  | "info";

/** The memory of a run on a model that need not be here. */
export type ShapeMemory = {
  /** All parameters. */
  parameters: number,
  /** Those that are trained. */
  trainable: number,
  /** GPU memory, as planned. */
  memory: EstimateMemory
};

/** What was measured. */
export type Speed = {
  /** The device's name. */
  device: string,
  /** Floating-point operations a second, measured. */
  peak_flops: number,
  /** Bytes a second of a large copy, measured. */
  peak_bandwidth: number,
  /** Training steps. */
  steps: Array<SpeedStep>,
  /** Answers. */
  answers: Array<SpeedAnswer>,
  /** The kernels of a full training step that take longest. */
  kernels: Array<SpeedKernel>,
  /** Everything as text, as `rootstock bench` prints it. */
  text: string
};

/** Writing an answer. */
export type SpeedAnswer = {
  /** Whose shape. */
  model: string,
  /** Tokens a second. */
  tokens_per_second: number,
  /** Share of what the measured copy's bandwidth allows over the weights. */
  fraction_of_bandwidth: number
};

/** A kernel at one shape. */
export type SpeedKernel = {
  /** Its name and variant. */
  name: string,
  /** m × n × k, or the bytes that it binds. */
  shape: string,
  /** How often a step runs it. */
  count: number,
  /** Share of the time of all kernels of the step. */
  share: number,
  /** Share of the measured peak: of arithmetic, or of bandwidth where operations do not count. */
  fraction_of_peak: number
};

/** A training step. */
export type SpeedStep = {
  /** Whose shape. */
  model: string,
  /** `full` or `lora`. */
  method: string,
  /** Sequences × tokens. */
  batch: string,
  /** Tokens a second. */
  tokens_per_second: number,
  /** Share of the measured peak. */
  utilisation: number
};

/** A line of `trainer_log.jsonl`, in numbers. */
export type StepLine = {
  /** Steps done. */
  current_steps: number,
  /** Steps of the run. */
  total_steps: number,
  /** Mean loss a target token since the line before. */
  loss: number,
  /** Gradient norm before clipping. */
  grad_norm: number,
  /** Learning rate. */
  lr: number,
  /** Epochs done. */
  epoch: number,
  /** Tokens a second since the line before. */
  tokens_per_second: number,
  /** To the end at the present speed. */
  remaining_seconds: number | null,
  /** GPU memory in use. */
  memory_bytes: number | null,
  /** Preferences: what the answers gain. */
  rewards: Rewards | null
};

/** What this origin stores. */
export type Storage = {
  /** Bytes in use. */
  usage: number | null,
  /** Bytes that it may use. */
  quota: number | null,
  /** Whether the browser has promised not to clear it by itself. */
  persistent: boolean,
  /** Bytes of the worker's own memory, weights on the GPU not among them. */
  worker_bytes: number | null,
  /** Why the browser stores nothing here, where it does not: what is kept then lies in memory and ends with the tab. */
  refused: string | null
};

/** A file that a person takes home. */
export type StoredFile = {
  /** Its name in the folder that is taken home. */
  name: string,
  /** Bytes. */
  bytes: number,
  /** Where it lies in the origin's private file system: names from its root. */
  path: Array<string>
};

/** What would make a run smaller. */
export type Suggestion = {
  /** In words. */
  words: string,
  /** As keys to set; empty where a person has to choose. */
  set: Settings
};

/** A token of a text and how well the model predicted it. */
export type TokenLoss = {
  /** Its text. */
  text: string,
  /** In nats; the first token has none. */
  loss: number | null
};

/** A model's change, cut to a rank. */
export type Truncated = {
  /** The share of the squared change that is kept, from 0 to 1. */
  energy: number,
  /** Numbers that hold it. */
  parameters: number,
  /** Their bytes in a file. */
  bytes: number,
  /** Modules that are kept whole, as no low rank comes near their change. */
  whole: Array<string>
};

/** What progress counts. */
export type Unit = "bytes"
  | "steps"
  | "samples"
  | "tensors"
  | "prompts"
  | "kernels"
  | "tokens";

/** The verdict on a directory. */
export type Verdict = "ready"
  | "repairable"
  | "unusable";

/** Which model. */
export type Which = "base"
  | "tuned"
  | "learning"
  | "adapted";
