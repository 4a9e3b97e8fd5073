//! What reading makes of bytes that were damaged, forged, or meant for somebody else: a miss with its reason.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn garbage_is_a_miss(bytes in proptest::collection::vec(any::<u8>(), 0..80), forged in any::<bool>()) {
        let key = key("k");
        for codec in codecs() {
            let writing = writing(&codec, &key);
            let mut bytes = bytes.clone();
            if forged {
                // Intact, and of this type as far as the header tells: the decoder sees the bytes.
                bytes.splice(0..0, [0; HEADER]);
                let compression = (bytes.len() % 2) as u8;
                seal(&mut bytes, &writing, compression);
                let _ = read::<Vec<Image>>(&bytes, &writing.expect());
                let _ = read::<HashMap<String, Vec<()>>>(&bytes, &writing.expect());
            } else {
                prop_assert!(read::<Vec<u8>>(&bytes, &writing.expect()).is_err());
            }
        }
    }
}

#[test]
fn a_record_that_lost_bytes_or_gained_some_is_a_miss() {
    let key = key("k");
    for codec in codecs() {
        for compression in [Compression::None, every_record()] {
            let writing = Writing { compression, ..writing(&codec, &key) };
            let record = write(&vec![image(); 3], &writing).unwrap();
            for len in 0..record.len() {
                let miss = read::<Vec<Image>>(&record[..len], &writing.expect()).unwrap_err();
                let expected = if len < HEADER { Miss::Short } else { Miss::Corrupt };
                assert_eq!(miss, expected, "{codec} {len}");
            }
            let longer = [&record[..], &[0]].concat();
            assert_eq!(read::<Vec<Image>>(&longer, &writing.expect()), Err(Miss::Corrupt));
        }
    }
}

#[test]
fn a_record_with_any_bit_flipped_is_a_miss() {
    let key = key("k");
    for codec in codecs() {
        let writing = writing(&codec, &key);
        let record = write(&image(), &writing).unwrap();
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let miss = read::<Image>(&flipped, &writing.expect()).unwrap_err();
            let is_expected = match bit / 8 {
                0 => matches!(miss, Miss::UnknownFormat(_)),
                1 => matches!(miss, Miss::UnknownCodec(_) | Miss::UnknownCompression(_) | Miss::Corrupt),
                _ => miss == Miss::Corrupt,
            };
            assert!(is_expected, "{codec} {bit} {miss}");
        }
    }
}

#[test]
fn the_record_of_another_key_is_a_miss() {
    let (one, other) = (key("k"), key("l"));
    for codec in codecs() {
        let record = write(&1, &writing(&codec, &one)).unwrap();
        assert_eq!(read::<i32>(&record, &writing(&codec, &other).expect()), Err(Miss::Corrupt));
    }
}

#[test]
fn a_header_is_judged_before_the_value_is_decoded() {
    let key = key("k");
    for codec in codecs() {
        let writing = writing(&codec, &key);
        let record = write(&image(), &writing).unwrap();
        let of = writing.expect();
        let judge = |expect: Expect<'_>| Record::parse(&record).unwrap().judge(&expect).map(drop);
        assert_eq!(judge(of), Ok(()));
        assert_eq!(judge(Expect { version: 2, ..of }), Err(Miss::HigherVersion(3)));
        assert_eq!(judge(Expect { version: 4, ..of }), Err(Miss::LowerVersion(3)));
        let other_type = judge(Expect { fingerprint: Fingerprint(of.fingerprint.0 ^ 5), ..of });
        let Err(Miss::OtherType { found, expected }) = other_type else { panic!("{other_type:?}") };
        // A custom codec's name is mixed into both.
        assert_eq!(found.0 ^ expected.0, 5);
        assert!(codec.name() == "text" || found == of.fingerprint);
        assert_eq!(judge(Expect { digest: GenerationDigest(1), ..of }), Err(Miss::OtherGeneration));
        let len = record.len() - HEADER;
        assert_eq!(judge(Expect { max_value: len - 1, ..of }), Err(Miss::TooLarge(len as u64)));
        assert_eq!(judge(Expect { max_value: len, ..of }), Ok(()));
        // The version first, whatever else differs; the generation last.
        let (fingerprint, digest) = (Fingerprint(1), GenerationDigest(1));
        assert_eq!(judge(Expect { version: 2, fingerprint, digest, ..of }), Err(Miss::HigherVersion(3)));
        let other_type = judge(Expect { fingerprint, digest, max_value: 0, ..of });
        assert!(matches!(other_type, Err(Miss::OtherType { .. })), "{other_type:?}");
        assert_eq!(judge(Expect { digest, max_value: 0, ..of }), Err(Miss::TooLarge(len as u64)));
        let parsed = Record::parse(&record).unwrap();
        assert_eq!((parsed.header().version(), parsed.header().digest()), (3, writing.digest));
    }
}

#[test]
fn unknown_formats_codecs_and_compressions_are_told_apart() {
    let key = key("k");
    for codec in codecs() {
        let record = write(&1, &writing(&codec, &key)).unwrap();
        let with = |at: usize, byte: u8| {
            let mut record = record.clone();
            record[at] = byte;
            read::<i32>(&record, &writing(&codec, &key).expect()).unwrap_err()
        };
        assert_eq!(with(0, 0), Miss::UnknownFormat(0));
        assert_eq!(with(0, 2), Miss::UnknownFormat(2));
        assert_eq!(with(1, 0), Miss::UnknownCodec(0));
        assert_eq!(with(1, 9), Miss::UnknownCodec(9));
        assert_eq!(with(1, record[1] | 0x20), Miss::UnknownCompression(2));
        assert_eq!(with(1, record[1] | 0xf0), Miss::UnknownCompression(15));
        #[cfg(not(feature = "zstd"))]
        assert_eq!(with(1, record[1] | 0x10), Miss::UnknownCompression(1));
    }
    assert_eq!(Record::parse(&[]).unwrap_err(), Miss::Short);
    assert_eq!(Record::parse(&[7]).unwrap_err(), Miss::UnknownFormat(7), "the stub of a later format");
    assert_eq!(Record::parse(&[SPLIT; 32]).unwrap_err(), Miss::Torn);
}

#[test]
fn a_region_reads_the_built_in_codecs_that_it_had_before() {
    let key = key("k");
    let custom = Codec::Custom(Arc::new(Text("text")));
    for codec in codecs() {
        let record = write(&image(), &writing(&codec, &key)).unwrap();
        let before = read::<Image>(&record, &writing(&custom, &key).expect());
        assert_eq!(before, Ok(image()), "{codec}");
    }
    let record = write(&image(), &writing(&custom, &key)).unwrap();
    let renamed = Codec::Custom(Arc::new(Text("other")));
    let of_other = read::<Image>(&record, &writing(&renamed, &key).expect());
    assert!(matches!(of_other, Err(Miss::OtherType { .. })), "{of_other:?}");
    for codec in codecs().into_iter().filter(|codec| !matches!(codec, Codec::Custom(_))) {
        assert_eq!(read::<Image>(&record, &writing(&codec, &key).expect()), Err(Miss::UnknownCodec(15)));
    }
}

#[test]
fn bytes_behind_the_value_and_missing_ones_are_misses() {
    let key = key("k");
    for codec in codecs() {
        let writing = writing(&codec, &key);
        let mut record = write(&(7_u8, 8_u8), &writing).unwrap();
        record.push(b'1');
        seal(&mut record, &writing, 0);
        let miss = read::<(u8, u8)>(&record, &writing.expect()).unwrap_err();
        let expected = if matches!(codec, Codec::Custom(_)) { "decode" } else { "trailing_bytes" };
        assert_eq!(miss.name(), expected, "{codec}");
        record.truncate(record.len() - 2);
        seal(&mut record, &writing, 0);
        assert_eq!(read::<(u8, u8)>(&record, &writing.expect()).unwrap_err().name(), "decode", "{codec}");
    }
}

#[test]
fn a_custom_codec_that_makes_no_deserializer_is_a_miss() {
    #[derive(Debug)]
    struct Idle;
    impl CustomCodec for Idle {
        fn name(&self) -> &str {
            "idle"
        }
        fn encode(&self, _: &dyn erased_serde::Serialize, _: &mut Vec<u8>) -> Result<(), CodecError> {
            Ok(())
        }
        fn decode(&self, _: &[u8], _: &mut DecodeInto<'_>) -> Result<(), CodecError> {
            Ok(())
        }
    }
    let (codec, key) = (Codec::Custom(Arc::new(Idle)), key("k"));
    let record = write(&1, &writing(&codec, &key)).unwrap();
    assert_eq!(read::<i32>(&record, &writing(&codec, &key).expect()).unwrap_err().name(), "decode");
}

#[test]
fn a_panic_in_user_code_is_a_miss_or_an_error() {
    #[derive(Debug)]
    struct Panics;
    impl Serialize for Panics {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("in Serialize")
        }
    }
    impl<'de> Deserialize<'de> for Panics {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("in Deserialize")
        }
    }
    let key = key("k");
    for codec in codecs() {
        let writing = writing(&codec, &key);
        assert_eq!(write(&Panics, &writing), Err(WriteError::Panicked));
        let record = write(&1, &writing).unwrap();
        let miss = read::<Panics>(&record, &writing.expect()).unwrap_err();
        assert_eq!(miss, Miss::Decode("`Deserialize` panicked".into()));
    }
}

/// Codecs that name variants tell what stands behind the name.
#[cfg(feature = "json")]
#[test]
fn a_variant_with_a_value_is_not_read_as_one_without() {
    #[derive(Debug, Deserialize)]
    enum Unit {
        A,
    }
    let (key, codec) = (key("k"), Codec::Json);
    for (body, is_one) in [(&br#""A""#[..], true), (br#"{"A":null}"#, true), (br#"{"A":5}"#, false)] {
        let found = read::<Unit>(&forged(&codec, &key, body), &writing(&codec, &key).expect());
        assert_eq!(matches!(found, Ok(Unit::A)), is_one, "{found:?}");
    }
}
