//! The table of faults: one line for each way in which a directory fails. Reports, `docs/checkpoint-faults.md` and the
//! severities all come from it, so they cannot disagree.

use serde::Serialize;

use super::group::Group;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Severity {
    /// It does not load, or it computes something else than it should, here or in transformers.
    Error,
    /// It works, but something is unusual or will cause trouble later.
    Warning,
    /// Good to know.
    Info,
}

/// What the table knows about a fault.
#[derive(Debug)]
pub struct Fault {
    /// Which one.
    pub code: Code,
    /// Its name in `--json` and in the documentation; never changed once published.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The fault in a few words.
    pub title: &'static str,
    /// What other tools do and say, in their own words where they say something.
    pub elsewhere: &'static str,
    /// What to do, and what `--fix` does.
    pub cure: &'static str,
    /// The group of the documentation.
    pub group: Group,
}

macro_rules! faults {
    ($($group:ident { $($code:ident $name:literal $severity:ident: $title:literal, $elsewhere:literal, $cure:literal;)* })*) => {
        /// The ways in which a directory fails, in the order of the documentation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $title] $code,)*)*
        }

        const FAULTS: &[Fault] = &[$($(Fault {
            code: Code::$code,
            name: $name,
            severity: Severity::$severity,
            title: $title,
            elsewhere: $elsewhere,
            cure: $cure,
            group: Group::$group,
        }),*),*];
    };
}

impl Code {
    /// What the table says about it.
    pub fn fault(self) -> &'static Fault {
        &FAULTS[self as usize]
    }

    /// Its name in `--json`.
    pub fn name(self) -> &'static str {
        self.fault().name
    }

    /// The whole table.
    pub fn all() -> &'static [Fault] {
        FAULTS
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

faults! {
    Directory {
        NotAModel "not_a_model" Error:
            "Neither a configuration nor weights.",
            "“Unrecognized model in … Should have a `model_type` key in its config.json”",
            "Give the directory that holds config.json and model.safetensors.";
        MissingConfig "missing_config" Error:
            "Weights, but no config.json.",
            "“Unrecognized model in … Should have a `model_type` key in its config.json”; “does not appear to have a file named config.json”",
            "With --base, --fix takes the base's config.json if all names and shapes fit it. Without a base the sizes are read from the \
             tensors, as far as they show them.";
        AdapterOnly "adapter_only" Error:
            "A LoRA adapter, not a model.",
            "“Unrecognized model in … Should have a `model_type` key in its config.json”, or the base and the adapter are loaded \
             together without a word",
            "Give the base model and the adapter: rootstock merge --model BASE --adapter DIR --out OUT. With --base it is judged as an adapter \
             of that model (no error then), and --fix merges the two.";
        ModelAndAdapter "model_and_adapter" Error:
            "A whole model and an adapter in one directory.",
            "Nothing: transformers applies the adapter to the model silently.",
            "Decide which of the two is meant and move adapter_config.json and the adapter's weights into a directory of their own.";
        ParentDirectory "parent_of_checkpoints" Error:
            "The output folder of a training run; the model is in checkpoint-N.",
            "“Unrecognized model in … Should have a `model_type` key in its config.json”",
            "Give the checkpoint's directory. --fix copies it out.";
        MetaFormat "meta_format" Error:
            "Weights in Meta's format (params.json, consolidated.*.pth).",
            "“Unrecognized model in … Should have a `model_type` key in its config.json”",
            "Convert them with transformers' convert_llama_weights_to_hf.py.";
        Gguf "gguf" Error:
            "A GGUF file for llama.cpp.",
            "“Error no file named model.safetensors, or pytorch_model.bin, found in directory”",
            "Get the Hugging Face directory that the file was made from; most GGUF files are quantised and cannot be trained.";
        ZeroShards "zero_shards" Error:
            "DeepSpeed ZeRO shards that were not gathered.",
            "“Error no file named model.safetensors, or pytorch_model.bin, found in directory”, or “Unrecognized model in …”",
            "rootstock adopt DIR --out OUT (and --fix) puts the f32 weights of all processes together, as zero_to_fp32.py does; config.json \
             and tokenizer come from the directory or from --base. In later runs set stage3_gather_16bit_weights_on_model_save.";
        FsdpShards "fsdp_shards" Error:
            "Sharded FSDP state (.distcp).",
            "“Error no file named model.safetensors, or pytorch_model.bin, found in directory”",
            "rootstock adopt DIR --out OUT (and --fix) puts the weights of all processes together, as accelerate merge-weights does; config.json \
             and tokenizer come from the directory or from --base.";
    }
    Files {
        NoWeights "no_weights" Error:
            "A configuration without weights.",
            "“Error no file named model.safetensors, or pytorch_model.bin, found in directory”",
            "Copy the weights here: model.safetensors, or the shards with their index.";
        PickleWeights "pickle_weights" Error:
            "Weights as a Python pickle (.bin, .pt), which can run code.",
            "Loads; torch before 2.6 refuses: “Due to a serious vulnerability issue in `torch.load` … we now require users to upgrade torch”",
            "--fix reads the tensors with a reader that runs nothing and writes safetensors.";
        MisnamedWeights "misnamed_weights" Error:
            "A weight file under another name than model.safetensors.",
            "“Error no file named model.safetensors, or pytorch_model.bin, found in directory”",
            "Rename it. --fix does.";
        MissingIndex "missing_index" Error:
            "Shards without model.safetensors.index.json.",
            "“Error no file named model.safetensors, or pytorch_model.bin, found in directory”",
            "--fix rebuilds the index from the shards' headers if they are complete.";
        DamagedIndex "damaged_index" Error:
            "model.safetensors.index.json cannot be read.",
            "“Expecting value: line 1 column 1”, KeyError: 'weight_map'",
            "--fix rebuilds it from the shards' headers if they are complete.";
        IndexMismatch "index_mismatch" Error:
            "The index and the shards disagree.",
            "“Some weights … were not initialized from the model checkpoint”; transformers 4 trains on uninitialised memory without a word",
            "--fix rebuilds the index from the shards' headers.";
        MissingShard "missing_shard" Error:
            "A shard that the index names is not there.",
            "“FileNotFoundError: No such file or directory: …model-00002-of-00003.safetensors”",
            "Copy the missing file; nothing can replace it.";
        TwoWeightSets "two_weight_sets" Error:
            "model.safetensors and a sharded set side by side.",
            "Nothing: the single file wins, however old it is.",
            "Remove the set that is outdated.";
        TruncatedFile "truncated_file" Error:
            "A file that is cut short.",
            "“Error while deserializing header: incomplete metadata, file not fully covered”, “invalid header length”, “header too small”",
            "Get the file again; the copy or download broke off.";
        DamagedFile "damaged_file" Error:
            "A weight file whose header contradicts itself.",
            "“Error while deserializing header: invalid header deserialization”, “invalid offset”, “MetadataIncompleteBuffer”",
            "Get the file again.";
        LfsPointer "lfs_pointer" Error:
            "A git-lfs pointer instead of the file.",
            "“Error while deserializing header: header too large”, “Expecting value: line 1 column 1”",
            "Run git lfs pull in the repository, or download the file.";
        OutsideDirectory "outside_directory" Error:
            "A name or link that leads out of the directory.",
            "Other tools follow it.",
            "Put the files themselves into the directory.";
        Unreadable "unreadable_file" Error:
            "A file that cannot be read.",
            "Permission denied, input/output error",
            "Check the file's permissions and the disk.";
    }
    Config {
        InvalidJson "invalid_json" Error:
            "A file that is not valid JSON.",
            "“It looks like the config file at … is not a valid JSON file.”",
            "Correct the named line, or take the file from the base model.";
        ByteOrderMark "byte_order_mark" Error:
            "A byte order mark in front of JSON.",
            "“It looks like the config file at … is not a valid JSON file.”; “Unexpected UTF-8 BOM”",
            "Save the file as UTF-8 without BOM. --fix strips it.";
        MissingModelType "missing_model_type" Error:
            "config.json lacks model_type.",
            "“Unrecognized model in … Should have a `model_type` key in its config.json”; transformers 4 guesses from the folder's name",
            "--fix takes it from architectures or from the names of the tensors.";
        UnknownModelType "unknown_model_type" Error:
            "model_type is none that is known.",
            "“The checkpoint you are trying to load has model type `…` but Transformers does not recognize this architecture”",
            "If the tensors are those of a known architecture, --fix writes its name.";
        RemoteCode "remote_code" Error:
            "The model needs Python code that comes with it (auto_map).",
            "“… contains custom code which must be executed to correctly load the model … `trust_remote_code=True`”",
            "Such code is never run here. If the tensors are those of a known architecture, --fix writes its name and drops auto_map.";
        VisionPart "vision_part" Error:
            "A model with a vision part; only its language model can be trained here.",
            "Nothing: transformers loads all of it",
            "--fix writes the language model alone.";
        NotCausal "not_causal" Error:
            "Not a causal language model.",
            "“Unrecognized configuration class … for this kind of AutoModel: AutoModelForCausalLM”",
            "Use a causal language model; encoders and encoder-decoders cannot be trained here.";
        WrongModelType "wrong_model_type" Error:
            "model_type names another architecture than the tensors.",
            "“Some weights of the model checkpoint … were not used”, or nothing",
            "--fix writes the architecture that the tensors show.";
        WrongArchitectures "wrong_architectures" Warning:
            "architectures is missing or disagrees with model_type.",
            "transformers goes by model_type; vLLM and others refuse or load the wrong class.",
            "--fix writes the class that belongs to model_type.";
        WrongFieldType "wrong_field_type" Error:
            "A field of the wrong type.",
            "transformers 5: “expected int, got str”; 4 fails later, somewhere else",
            "--fix writes the number that the text stands for.";
        MissingField "missing_field" Error:
            "config.json lacks sizes.",
            "Nothing: the class's defaults are taken, a 7B model for llama, and the process is killed for memory.",
            "Take config.json from the base model. --fix reads from the tensors what they show.";
        UnsupportedValue "unsupported_value" Error:
            "A field asks for what is impossible or not supported.",
            "Depends on the field",
            "The message says what is accepted.";
        LayerCount "layer_count" Error:
            "config.json and the tensors disagree on the number of layers.",
            "“Some weights … were not initialized”, or “were not used”: random or dropped layers",
            "--fix writes the number of layers that are there, if they are complete.";
        VocabSize "vocab_size" Error:
            "vocab_size is not the number of rows of the embedding.",
            "“size mismatch for model.embed_tokens.weight”, “You set `ignore_mismatched_sizes` to `False`”",
            "--fix writes the embedding's number of rows.";
        WrongSize "wrong_size" Error:
            "Head counts, head_dim, hidden or feed-forward size disagree with the tensors.",
            "“size mismatch for model.layers.0.self_attn.k_proj.weight”",
            "--fix writes the sizes that the tensors show.";
        DtypeSpelling "dtype_spelling" Error:
            "dtype or torch_dtype names no number type.",
            "“module 'torch' has no attribute 'float33'”",
            "--fix writes the type of the tensors.";
        Quantised "quantised" Error:
            "Quantised weights (bitsandbytes, GPTQ, AWQ, FP8, MXFP4, compressed-tensors, MLX).",
            "“requires bitsandbytes”, a size mismatch, or random weights with only a warning",
            "Take the unquantised model, or write a bitsandbytes or MXFP4 model out with transformers (dequantize). Where only config.json says so \
             and the tensors are plain numbers, --fix removes the setting.";
        StoredInBlocks "stored_in_few_bits" Info:
            "A GGUF file or a directory of bitsandbytes, whose weights are stored in few bits and can be read.",
            "transformers needs bitsandbytes, or decodes a GGUF file completely",
            "Nothing. LoRA trains beside the blocks as they are; full fine-tuning starts from what they decode to (quantization.md).";
        OldSpelling "spelling_for_one_version" Info:
            "Rotary positions or dtype written for only one major version of transformers.",
            "Nothing: transformers 4 ignores rope_parameters and computes with its default theta. “Tokenizer class TokenizersBackend does \
             not exist or is not currently imported.”",
            "--fix writes both spellings, as everything that this program writes.";
    }
    Tensors {
        WrapperPrefix "wrapper_prefix" Error:
            "All names carry the prefix of a training wrapper (module., _orig_mod., _fsdp_wrapped_module. …).",
            "“Some weights of … were not initialized from the model checkpoint and are newly initialized”: every weight is random, and \
             training goes on with a loss near ln(vocabulary)",
            "Save the unwrapped model. --fix strips the prefix.";
        DoubledPrefix "doubled_prefix" Error:
            "The names begin with model. twice.",
            "transformers 5 loads it; 4 takes random weights with a warning",
            "--fix strips one.";
        MissingPrefix "missing_prefix" Error:
            "The names lack the prefix model.; the base model without its head was saved.",
            "transformers 5 loads it; 4 says “The state dictionary of the model you are trying to load is corrupted”",
            "--fix adds it.";
        UnmergedPeft "unmerged_peft" Error:
            "The state of a PEFT model whose adapter was not merged (base_layer, lora_A).",
            "“Some weights … are newly initialized”: random weights",
            "Call merge_and_unload before saving. --fix merges, if adapter_config.json or --base tell lora_alpha.";
        ValueHead "value_head" Warning:
            "A reward or value head beside the language model.",
            "“Some weights of the model checkpoint … were not used”",
            "Among the model's weights it is ignored, and --fix leaves it out. In value_head.safetensors it makes a reward model: stage rm reads it, \
             and --fix and adopt take it along.";
        MissingHead "missing_head" Error:
            "No lm_head, and config.json does not say that the embedding is the head.",
            "“Some weights … were not initialized …: ['lm_head.weight']”: a random head, loss near ln(vocabulary)",
            "--fix sets tie_word_embeddings where the architecture or the base ties, or where the loss shows it.";
        TiedHeadDiffers "tied_head_differs" Error:
            "tie_word_embeddings is true, but lm_head differs from the embedding.",
            "Nothing: transformers 4 throws the head away",
            "--fix sets tie_word_embeddings to false, so that the head that was trained is used.";
        OnlyHead "embedding_under_head" Error:
            "The embedding is stored only as lm_head.",
            "transformers 4: “Some weights … were not initialized …: ['model.embed_tokens.weight']”",
            "--fix renames it.";
        MissingTensor "missing_tensor" Error:
            "A tensor of the architecture is missing.",
            "“Some weights … were not initialized from the model checkpoint and are newly initialized”",
            "Get complete weights; a missing matrix cannot be made up.";
        UnexpectedTensor "unexpected_tensor" Error:
            "Tensors that the architecture does not have.",
            "“Some weights of the model checkpoint … were not used”",
            "Check model_type; this is not the model that config.json declares.";
        WrongShape "wrong_shape" Error:
            "A tensor of another shape than config.json asks for.",
            "“size mismatch for …”, “You set `ignore_mismatched_sizes` to `False`”",
            "Check the sizes in config.json against the base's.";
        EmptyTensors "empty_tensors" Error:
            "Tensors without elements: saved under DeepSpeed ZeRO-3 without gathering.",
            "“size mismatch for …: copying a param with shape torch.Size([0])”",
            "Save again with stage3_gather_16bit_weights_on_model_save, or run zero_to_fp32.py on the run's checkpoint.";
        Transposed "transposed" Error:
            "Matrices stored (in, out) where the architecture has (out, in).",
            "“size mismatch for …”",
            "--fix transposes them.";
        FusedProjection "fused_projection" Error:
            "A fused projection (qkv_proj, gate_up_proj) in an architecture with separate ones.",
            "“Some weights … are newly initialized”: random attention",
            "--fix splits it.";
        SplitProjection "split_projection" Error:
            "Separate projections in an architecture with fused ones.",
            "“Some weights … are newly initialized”: random attention",
            "--fix joins them.";
        DuplicateTensor "duplicate_tensor" Error:
            "One tensor in two shards.",
            "Nothing: the one that is read last wins",
            "Get the shards again; which of the two is right cannot be seen.";
        OddDtype "odd_dtype" Error:
            "Weights in a type that is no floating-point type of training (INT8, FP8 …) without a quantisation config.",
            "Nothing, or an obscure error: the integers are taken as weights",
            "Take the unquantised model.";
    }
    Tokenizer {
        NoTokenizer "no_tokenizer" Error:
            "No tokenizer.",
            "“Couldn't instantiate the backend tokenizer from one of …”, “Can't load tokenizer for …”",
            "Copy tokenizer.json and tokenizer_config.json from the base. With --base, --fix does.";
        SlowTokenizer "slow_tokenizer" Error:
            "Only the files of a slow tokenizer (tokenizer.model, vocab.json).",
            "transformers converts them when it loads; others refuse",
            "Convert once: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR). With --base, --fix copies the base's tokenizer.json.";
        DamagedTokenizer "damaged_tokenizer" Error:
            "The tokenizer's files cannot be read, or contradict each other.",
            "“Couldn't instantiate the backend tokenizer”, “data did not match any variant of untagged enum”",
            "Take them from the base. With --base, --fix does.";
        TokenizerTooLarge "tokenizer_too_large" Error:
            "The tokenizer has tokens without a row in the embedding.",
            "Nothing at first; “IndexError: index out of range in self” or a CUDA assertion as soon as such a token comes",
            "Use the tokenizer that the model was trained with, or --fix, which adds rows to the embedding (the mean of the others).";
        TokenizerClass "tokenizer_class" Info:
            "tokenizer_config.json is written for one major version of transformers.",
            "transformers 4: “Tokenizer class TokenizersBackend does not exist or is not currently imported.”",
            "--fix writes PreTrainedTokenizerFast, which both know.";
        RandomTokenizer "random_tokenizer" Warning:
            "tokenizer.json has BPE dropout.",
            "Nothing: a text has other tokens each time",
            "Set dropout to null in tokenizer.json. Here it is off.";
        BadTemplate "bad_template" Error:
            "The chat template does not compile, refuses every conversation, or wants far more memory or time than a prompt needs.",
            "jinja2.exceptions.TemplateSyntaxError or TemplateError, when the first conversation is formatted",
            "Take chat_template.jinja from the base, or mend the named line.";
        NoChatTemplate "no_chat_template" Info:
            "No chat template.",
            "“Cannot use chat template functions because tokenizer.chat_template is not set”",
            "Nothing is wrong with a base model without one: conversations are written as User: and Assistant: lines. For another form put \
             chat_template.jinja into the directory.";
        NoGenerationConfig "no_generation_config" Info:
            "No generation_config.json.",
            "Nothing; it is derived from config.json",
            "--fix writes one.";
        BadGenerationConfig "bad_generation_config" Error:
            "generation_config.json cannot be read, or a setting holds something else than it can.",
            "“It looks like the config file at … is not a valid JSON file.”; an error of a comparison when it generates",
            "Delete it or take the base's. --fix writes a new one, or drops the settings that are wrong.";
        SpecialIds "special_ids" Warning:
            "A special token id that the vocabulary does not have.",
            "Nothing: generation never stops (eos) or fails with an index error",
            "--fix writes the ids of the tokenizer.";
        PadId "pad_id" Error:
            "pad_token_id is no row of the embedding.",
            "“AssertionError: Padding_idx must be within num_embeddings”",
            "--fix writes the id of the tokenizer, or none.";
        SamplingFlags "sampling_flags" Warning:
            "Sampling settings (temperature, top_p) while do_sample is false.",
            "Loads; saving fails at the end of a training run: “The generation config instance is invalid — `do_sample` is set to `False`”",
            "--fix drops them.";
    }
    Numbers {
        NotFinite "not_finite" Error:
            "NaN or infinite weights.",
            "Nothing: the loss is NaN, or generation prints one token for ever",
            "The training run diverged or the file is damaged: take an earlier checkpoint.";
        AllZero "all_zero" Error:
            "A weight matrix that is all zero.",
            "Nothing",
            "The matrix was never loaded or never gathered: save the model again.";
        Outliers "outliers" Warning:
            "Weights of absurd size.",
            "Nothing",
            "The training run was about to diverge: compare with an earlier checkpoint.";
        RandomWeights "random_weights" Warning:
            "Weights that look as an initialisation leaves them, or have nothing in common with the base's.",
            "Nothing. “Some weights … were not initialized … and are newly initialized” was said when the model was loaded and saved the last time",
            "If they should be trained, take the weights from before. Compare with the base: rootstock validate DIR --base BASE.";
    }
    Behaviour {
        LossNearChance "loss_near_chance" Warning:
            "What the model predicts has nothing to do with what it reads.",
            "Nothing: training begins with a loss of ln(vocabulary) and goes on",
            "A model fresh from its initialisation is like that. If it should be trained, weights or configuration are not those that it \
             was trained with: compare with the base (--base).";
        HeadSplit "head_split" Error:
            "The sizes allow several numbers of heads.",
            "Nothing: the model computes nonsense",
            "Take num_attention_heads and head_dim from the base. --fix scores the candidates by loss.";
        RopeUnclear "rope_unclear" Error:
            "The rotary positions (theta) are not given, or not those that the model was trained with.",
            "Nothing: the default of the configuration's class is taken, and the model computes worse",
            "Take rope_theta (or rope_parameters) from the base. --fix tries the usual values on a text, and asks where none stands out.";
        ConfigDiffers "config_differs_from_base" Error:
            "A setting that the tensors cannot show differs from the base's.",
            "Nothing: the model computes something else",
            "If it was not changed on purpose, --fix with --base restores the base's value.";
        OtherBase "other_base" Warning:
            "The directory given as base has other tensors.",
            "Nothing",
            "Give the base that this model was made from.";
        Changed "changed_since_base" Info:
            "What training changed.",
            "Nothing",
            "This is what fine-tuning does.";
        Unchanged "unchanged_since_base" Warning:
            "No tensor differs from the base.",
            "Nothing",
            "The run trained nothing, or its result lies elsewhere.";
        NotRun "not_run" Info:
            "The model was not run.",
            "Nothing",
            "Run the self-test on a machine with a graphics device.";
        SelfTest "self_test" Info:
            "What the model says.",
            "Nothing",
            "Nothing to do.";
    }
    Adapter {
        AdapterConfig "adapter_config" Error:
            "adapter_config.json cannot be used.",
            "“ValueError: …” from PEFT, or ignored fields",
            "The message says which field.";
        AdapterWeights "adapter_weights" Error:
            "The adapter's weights do not fit adapter_config.json or the base.",
            "“Found missing adapter keys while loading the checkpoint”: PEFT loads nothing, with a warning",
            "Save the adapter again with PeftModel.save_pretrained.";
        FullModelAsAdapter "full_model_as_adapter" Error:
            "A whole model given as an adapter.",
            "“Can't find 'adapter_config.json' at …”",
            "Give it as the base: model_name_or_path, or --model.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_in_order() {
        let mut names: Vec<&str> = Code::all().iter().map(|fault| fault.name).collect();
        assert!(Code::all().iter().enumerate().all(|(i, fault)| fault.code as usize == i));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::all().len());
    }
}
