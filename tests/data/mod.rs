//! Datasets, tokenizer, chat template, masks and batches.

mod batch;
