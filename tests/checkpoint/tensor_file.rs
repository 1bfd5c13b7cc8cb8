//! Free-form tensor files: what was written is read back, and what does not keep to its declaration is refused.

use std::rc::Rc;

use rootstock::Error;
use rootstock::checkpoint::{Dtype, TensorFile, TensorFileWriter, TensorInfo};
use rootstock::platform::{Directory, MemoryDirectory, block_on};

fn infos() -> Vec<TensorInfo> {
    vec![
        TensorInfo::new("exp_avg", Dtype::F32, [2, 3]),
        TensorInfo::new("none", Dtype::F32, [0]),
        TensorInfo::new("state", Dtype::U32, [3]),
        TensorInfo::new("flags", Dtype::U8, [5]),
    ]
}

#[test]
fn tensors_are_read_back() -> Result<(), Error> {
    block_on(async {
        let dir = MemoryDirectory::new("state");
        let metadata = [("step".to_string(), "12 \"quoted\"\n".to_string())];
        let mut file = TensorFileWriter::create(&dir, "optimizer.safetensors", &infos(), &metadata).await?;
        file.write_f32("exp_avg", &[1.0, -2.5]).await?;
        file.write_f32("exp_avg", &[0.0, f32::MIN_POSITIVE, f32::MAX, -0.0]).await?;
        file.write_u32("state", &[0, u32::MAX, 7]).await?;
        file.write("flags", b"\x00\x01").await?;
        file.write("flags", b"\x02\x03\xff").await?;
        assert_eq!(dir.list().await?.len(), 0, "a file appears when it is complete");
        file.finish().await?;

        // The format's own crate reads it too.
        let bytes = dir.read("optimizer.safetensors").await?;
        let theirs = safetensors::SafeTensors::deserialize(&bytes).expect("it is a safetensors file");
        assert_eq!(theirs.tensor("flags").expect("there").data(), b"\x00\x01\x02\x03\xff");

        let file = TensorFile::open(Rc::new(dir), "optimizer.safetensors").await?;
        assert_eq!(file.metadata("step"), Some("12 \"quoted\"\n"));
        assert_eq!(file.metadata("other"), None);
        assert_eq!(file.read_f32("exp_avg", 1..5).await?, [-2.5, 0.0, f32::MIN_POSITIVE, f32::MAX]);
        assert_eq!(file.read_u32("state").await?, [0, u32::MAX, 7]);
        assert_eq!(file.read_bytes("flags", 3..5).await?, [3, 255]);
        assert_eq!(file.expect("exp_avg", Dtype::F32, &[2, 3])?.elements(), 6);
        for error in [
            file.expect("exp_avg", Dtype::F32, &[3, 2]).err(),
            file.read_f32("exp_avg", 5..7).await.err(),
            file.read_f32("state", 0..1).await.err(),
            file.read_u32("exp_avg").await.err(),
            file.read_u32("missing").await.err(),
        ] {
            assert!(matches!(error, Some(Error::Tensor { .. })), "{error:?}");
        }
        Ok(())
    })
}

#[test]
fn what_was_not_declared_is_refused() -> Result<(), Error> {
    block_on(async {
        let dir = MemoryDirectory::new("state");
        let twice = [infos(), infos()].concat();
        assert!(TensorFileWriter::create(&dir, "f", &twice, &[]).await.is_err());

        let mut file = TensorFileWriter::create(&dir, "f", &infos(), &[]).await?;
        assert!(file.write_u32("state", &[1]).await.is_err(), "not its turn");
        assert!(file.write_f32("exp_avg", &[0.0; 7]).await.is_err(), "too much");
        file.write_f32("exp_avg", &[0.0; 6]).await?;
        assert!(file.write_f32("state", &[0.0; 3]).await.is_err(), "the wrong type");
        let error = file.finish().await.expect_err("two tensors are missing");
        assert_eq!(error.to_string(), "f: state: was not written completely");
        assert_eq!(dir.list().await?.len(), 0, "what is given up leaves nothing");
        Ok(())
    })
}

#[test]
fn sizes_beyond_reason_are_refused() {
    let dir = MemoryDirectory::new("state");
    let infos = [TensorInfo::new("t", Dtype::F32, [u64::MAX, 2])];
    assert!(block_on(TensorFileWriter::create(&dir, "f", &infos, &[])).is_err());
}
