//! The raw bytes of the protocol, without clients: requests made by hand, answers cut by hand.

use super::*;
use crate::fault::Fault;
use crate::samples::answered;
use crate::server::Server;
use crate::testing::{ask, bench, form, options, request, send, with_outputs};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use blemish::data::{Pixels, ReadOptions, RgbImage, decode_image};
use flate2::Compression;
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// JSON, and bytes after it, as a request: the header and the body.
fn packed(json: &Value, binary: &[u8]) -> (String, Bytes) {
    let mut body = json.to_string().into_bytes();
    let length = body.len();
    body.extend_from_slice(binary);
    (length.to_string(), body.into())
}

/// Files as the elements of a tensor of BYTES.
fn elements(files: &[&[u8]]) -> Vec<u8> {
    files.iter().flat_map(|file| [&(file.len() as u32).to_le_bytes()[..], file].concat()).collect()
}

fn code(parsed: Result<InferRequest, Fault>) -> &'static str {
    parsed.unwrap_err().code
}

fn image(shape: Value, parameters: Value) -> Value {
    json!({"inputs": [{"name": "image", "shape": shape, "datatype": "BYTES", "parameters": parameters}]})
}

#[test]
fn encoded_files_come_as_bytes_or_as_base64() {
    let wanted =
        vec![Image::Encoded(Bytes::from_static(b"one")), Image::Encoded(Bytes::from_static(b"second"))];
    let binary = elements(&[b"one", b"second"]);
    let (length, body) = packed(&image(json!([2]), json!({"binary_data_size": binary.len()})), &binary);
    assert_eq!(parse(Some(&length), &body).unwrap().images, wanted);

    let texts = json!([BASE64.encode("one"), BASE64.encode("second")]);
    let input = json!({"name": "image", "shape": [2], "datatype": "BYTES", "data": texts});
    let mut own = input.clone();
    own["parameters"] = json!({"content_type": "base64"});
    let of = |json: Value| parse(None, &json.to_string().into());
    assert_eq!(of(json!({"inputs": [own]})).unwrap().images, wanted);
    let whole = json!({"inputs": [input], "parameters": {"content_type": "base64"}});
    assert_eq!(of(whole).unwrap().images, wanted);
    let fault = of(json!({"inputs": [input]})).unwrap_err();
    assert!(fault.help.contains("content_type"), "{fault:?}");
}

#[test]
fn pixels_come_as_bytes_or_as_numbers_flat_or_nested() {
    let image = |pixels| Image::Pixels(RgbImage { height: 1, width: 2, pixels });
    let head = |datatype: &str, data: Value| json!({"inputs": [{"name": "pixels", "shape": [1, 1, 2, 3], "datatype": datatype, "data": data}]});
    let of = |json: Value| parse(None, &json.to_string().into()).map(|request| request.images);
    let bytes = vec![image(Pixels::U8(vec![0, 1, 2, 253, 254, 255]))];
    assert_eq!(of(head("UINT8", json!([0, 1, 2, 253, 254, 255]))).unwrap(), bytes);
    assert_eq!(of(head("UINT8", json!([[[[0, 1, 2], [253, 254, 255]]]]))).unwrap(), bytes);
    let floats = vec![0.0, 0.25, 0.1f32, 1.0, 0.5, 1e-9];
    assert_eq!(
        of(head("FP32", json!([0, 0.25, 0.1, 1, 0.5, 1e-9]))).unwrap(),
        [image(Pixels::F32(floats.clone()))]
    );

    let binary = |datatype: &str, bytes: &[u8]| {
        let parameters = json!({"binary_data_size": bytes.len()});
        let json = json!({"inputs": [{"name": "pixels", "shape": [1, 1, 2, 3], "datatype": datatype, "parameters": parameters}]});
        let (length, body) = packed(&json, bytes);
        parse(Some(&length), &body).map(|request| request.images)
    };
    assert_eq!(binary("UINT8", &[0, 1, 2, 253, 254, 255]).unwrap(), bytes);
    let little: Vec<u8> = floats.iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(binary("FP32", &little).unwrap(), [image(Pixels::F32(floats))]);

    for wrong in [
        head("UINT8", json!([0, 1, 2, 3, 4])),
        head("UINT8", json!([0, 1, 2, 3, 4, 256])),
        head("UINT8", json!([0, 1, 2, 3, 4, -1])),
        head("UINT8", json!([0, 1, 2, 3, 4, 0.5])),
        head("FP32", json!([0, 1, 2, 3, 4, 5])),
        head("FP32", json!(["0", "1", "0", "1", "0", "1"])),
        head("FP16", json!([0, 0, 0, 0, 0, 0])),
    ] {
        assert_eq!(of(wrong.clone()).unwrap_err().code, "tensor", "{wrong}");
    }
    assert_eq!(binary("FP32", &f32::NAN.to_le_bytes().repeat(6)).unwrap_err().code, "tensor");
    let channels_first =
        json!({"inputs": [{"name": "pixels", "shape": [1, 3, 1, 2], "datatype": "UINT8", "data": []}]});
    assert!(of(channels_first).unwrap_err().help.contains("last"));
}

#[test]
fn lengths_that_lie_are_errors_and_never_a_panic() {
    let file = elements(&[b"file"]);
    let json = image(json!([1]), json!({"binary_data_size": file.len()}));
    let (length, body) = packed(&json, &file);
    assert!(parse(Some(&length), &body).is_ok());
    assert!(parse(Some(&format!(" {length} ")), &body).is_ok());
    for wrong in [
        "-1",
        "+8",
        "1e3",
        "x",
        "",
        "0x10",
        "99999999999999999999999999",
        "18446744073709551615",
        &(body.len() + 1).to_string(),
    ] {
        assert_eq!(code(parse(Some(wrong), &body)), "request", "{wrong}");
    }
    // Of every other length, nothing that is left makes sense.
    for other in 0..=body.len() {
        assert_eq!(parse(Some(&other.to_string()), &body).is_ok(), other.to_string() == length, "{other}");
    }
    let of = |json: Value, binary: &[u8]| {
        let (length, body) = packed(&json, binary);
        code(parse(Some(&length), &body))
    };
    let size = |size: Value| image(json!([1]), json!({"binary_data_size": size}));
    for lie in [json!(9), json!(7), json!(u64::MAX), json!(-1), json!("8"), json!(8.5), json!(null)] {
        assert_eq!(of(size(lie.clone()), &file), "tensor", "{lie}");
    }
    for lie in [[5, 0, 0, 0], [3, 0, 0, 0], [255, 255, 255, 255], [0, 0, 0, 4]] {
        assert_eq!(of(size(json!(8)), &[&lie[..], b"file"].concat()), "tensor", "{lie:?}");
    }
    assert_eq!(of(size(json!(2)), &[0, 0]), "tensor", "half a length");
    for shape in [json!([2]), json!([0]), json!([65]), json!([u64::MAX]), json!([1, 1]), json!([])] {
        let json = image(shape.clone(), json!({"binary_data_size": 8}));
        assert_eq!(of(json, &file), "tensor", "{shape}");
    }
    let huge = u32::MAX as u64;
    let pixels = json!({"inputs": [{"name": "pixels", "shape": [64, huge, huge, 3], "datatype": "UINT8", "parameters": {"binary_data_size": 0}}]});
    assert_eq!(of(pixels, &[]), "tensor");
}

#[test]
fn what_is_unknown_is_named_and_other_parameters_are_passed_over() {
    let of = |change: &dyn Fn(&mut Value)| {
        let mut json = image(json!([1]), json!({"content_type": "base64"}));
        json["inputs"][0]["data"] = json!([BASE64.encode("x")]);
        change(&mut json);
        parse(None, &json.to_string().into())
    };
    let full = of(&|json| {
        json["id"] = "7".into();
        json["parameters"] = json!({"min_area": 20, "timeout": 1500, "priority": 3, "binary_data_output": true});
        json["outputs"] = json!([{"name": "map"}, {"name": "score", "parameters": {"binary_data": false, "classification": 3}}]);
    })
    .unwrap();
    assert_eq!(
        (full.id.as_deref(), full.min_area, full.timeout),
        (Some("7"), 20.0, Some(Duration::from_micros(1500)))
    );
    let wanted = |output, is_binary| Wanted { output, is_binary };
    assert_eq!(full.outputs, Some(vec![wanted(Output::Map, true), wanted(Output::Score, false)]));
    for wrong in [
        &(|json: &mut Value| json["outputs"] = json!([{"name": "heatmap"}])) as &dyn Fn(&mut Value),
        &|json| json["outputs"] = json!([{"name": "map"}, {"name": "map"}]),
        &|json| json["outputs"] = json!([{"name": "map", "parameters": {"shared_memory_region": "r"}}]),
        &|json| json["parameters"] = json!({"min_area": -1}),
        &|json| json["parameters"] = json!({"timeout": "soon"}),
        &|json| json["parameters"] = json!({"binary_data_output": 1}),
        &|json| json["inputs"][0]["name"] = "picture".into(),
        &|json| json["inputs"][0]["data"] = json!(["not base64!"]),
        &|json| json["inputs"][0]["data"] = json!([[1, "x"]]),
        &|json| json["inputs"] = json!([]),
        &|json| *json = json!([1]),
        &|json| json["id"] = json!(7),
        &|json| {
            let one = json["inputs"][0].clone();
            json["inputs"].as_array_mut().unwrap().push(one);
        },
    ] {
        let fault = of(wrong).unwrap_err();
        assert_eq!(fault.status(), 400, "{fault:?}");
    }
}

/// Cuts an answer into its JSON and the bytes of its outputs, by the sizes that it states.
fn cut(headers: &HeaderMap, body: &[u8]) -> (Value, Vec<Vec<u8>>) {
    let length = headers
        .get(request::JSON_LENGTH)
        .map_or(body.len(), |value| value.to_str().unwrap().parse().unwrap());
    let json: Value = serde_json::from_slice(&body[..length]).unwrap();
    let mut rest = &body[length..];
    let mut parts = Vec::new();
    for output in json["outputs"].as_array().unwrap() {
        if let Some(size) = output["parameters"]["binary_data_size"].as_u64() {
            let (part, after) = rest.split_at(size as usize);
            parts.push(part.to_vec());
            rest = after;
        }
    }
    assert!(rest.is_empty());
    (json, parts)
}

#[test]
fn outputs_are_those_by_hand_in_json_and_in_bytes() {
    let mut second = answered("line");
    (second.verdict.score, second.verdict.anomalous, second.verdict.p_value) = (-0.5, Some(false), Some(1.0));
    let answers = [Arc::new(answered("line")), Arc::new(second)];
    let wanted = |binary: [bool; 5]| -> Vec<Wanted> {
        Output::ALL.into_iter().zip(binary).map(|(output, is_binary)| Wanted { output, is_binary }).collect()
    };
    let plain = reply(Some("7"), &wanted([false; 5]), &answers).unwrap();
    assert_eq!(plain.json_length, None);
    let value: Value = serde_json::from_slice(&plain.body).unwrap();
    assert_eq!(
        (&value["id"], &value["model_name"], &value["model_version"]),
        (&"7".into(), &"line".into(), &"0123456789ab".into())
    );
    assert_eq!(
        value["outputs"][0],
        json!({"name": "score", "datatype": "FP32", "shape": [2], "data": [17.8, -0.5]})
    );
    assert_eq!(
        value["outputs"][1],
        json!({"name": "p_value", "datatype": "FP64", "shape": [2], "data": [0.004, 1.0]})
    );
    assert_eq!(
        value["outputs"][2],
        json!({"name": "anomalous", "datatype": "BOOL", "shape": [2], "data": [true, false]})
    );
    assert_eq!(
        value["outputs"][3],
        json!({"name": "regions", "datatype": "BYTES", "shape": [2], "data": ["[]", "[]"]})
    );
    assert_eq!(
        (&value["outputs"][4]["shape"], value["outputs"][4]["data"].as_array().unwrap().len()),
        (&json!([2, 4, 4]), 32)
    );

    let mixed = reply(None, &wanted([true, false, true, true, true]), &answers).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(request::JSON_LENGTH, mixed.json_length.unwrap().into());
    let (value, parts) = cut(&headers, &mixed.body);
    assert_eq!(value.get("id"), None);
    assert_eq!(value["outputs"][1]["data"], json!([0.004, 1.0]));
    assert_eq!(value["outputs"][0].get("data"), None);
    assert_eq!(parts[0], [17.8f32.to_le_bytes(), (-0.5f32).to_le_bytes()].concat());
    assert_eq!(parts[1], [1, 0]);
    assert_eq!(parts[2], [2, 0, 0, 0, b'[', b']', 2, 0, 0, 0, b'[', b']']);
    assert_eq!(parts[3].len(), 2 * 16 * 4);
    assert_eq!(parts[3][4..8], 1f32.to_le_bytes());
}

#[test]
fn the_best_coding_that_the_caller_takes_is_chosen() {
    let of = |accepts: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, accepts.parse().unwrap());
        Coding::of_answer(&headers)
    };
    for (accepts, coding) in [
        ("gzip", Coding::Gzip),
        ("deflate", Coding::Deflate),
        ("deflate, gzip", Coding::Gzip),
        ("gzip;q=0.1, deflate;q=0.9", Coding::Deflate),
        ("gzip;q=0, br", Coding::Identity),
        ("identity", Coding::Identity),
        ("*", Coding::Identity),
        ("gzip;q=nonsense", Coding::Identity),
    ] {
        assert_eq!(of(accepts), coding, "{accepts}");
    }
    assert_eq!(Coding::of_answer(&HeaderMap::new()), Coding::Identity);
}

async fn app() -> (Arc<Server>, Router, tempfile::TempDir) {
    let (options, folder) = options(&["line", "native"]);
    let (server, app, _) = with_outputs(options, std::io::sink()).await;
    (server, app, folder)
}

/// A request as tritonclient sends it: without any content type.
fn infer(model: &str, json: &Value, binary: &[u8]) -> Request<Body> {
    let (length, body) = packed(json, binary);
    let mut request = request("POST", &format!("/v2/models/{model}/infer"), body);
    request.headers_mut().insert(request::JSON_LENGTH, length.parse().unwrap());
    request
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

#[tokio::test]
async fn scores_of_all_forms_are_bitwise_those_of_our_own_interface() {
    let (_server, app, _folder) = app().await;
    let files = bench().images();
    let expected: Vec<Value> = {
        let parts: Vec<(&str, &[u8])> = files.iter().map(|file| ("a.png", &file[..])).collect();
        let (status, answer) = ask(&app, form("POST", "/v1/models/line/score-batch", &parts)).await;
        assert_eq!(status, 200, "{answer}");
        answer["results"].as_array().unwrap().clone()
    };
    assert_eq!(
        expected.iter().map(|one| one["score"].as_f64().unwrap() as f32).collect::<Vec<_>>(),
        bench().scores("line")
    );
    let all = elements(&files.iter().map(|file| &file[..]).collect::<Vec<_>>());
    let mut json = image(json!([files.len()]), json!({"binary_data_size": all.len()}));
    json["parameters"] = json!({"binary_data_output": true});
    let response = send(&app, infer("line", &json, &all)).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()[header::CONTENT_TYPE]),
        (200, &"application/octet-stream".parse().unwrap())
    );
    let headers = response.headers().clone();
    let (head, parts) = cut(&headers, &to_bytes(response.into_body(), 1 << 24).await.unwrap());
    let names: Vec<&str> =
        head["outputs"].as_array().unwrap().iter().map(|output| output["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["score", "p_value", "anomalous", "regions", "map"]);
    assert_eq!(floats(&parts[0]), bench().scores("line"));
    let p_values: Vec<f64> =
        parts[1].as_chunks::<8>().0.iter().map(|value| f64::from_le_bytes(*value)).collect();
    // Those of the library: the parser of this test is off by the last bit of some doubles.
    let detector = blemish::Detector::load(&bench().path("line"), &Default::default()).unwrap();
    let of_library = |score: &f32| detector.calibration().unwrap().p_value(*score);
    assert_eq!(p_values, bench().scores("line").iter().map(of_library).collect::<Vec<_>>());
    assert_eq!(parts[2], expected.iter().map(|one| u8::from(one["anomalous"] == true)).collect::<Vec<_>>());

    // Regions and single images, in JSON, with pixels of both kinds.
    for (file, expected) in files.iter().zip(&expected) {
        let decoded = decode_image(file, &ReadOptions::default()).unwrap();
        let Pixels::U8(bytes) = &decoded.pixels else { panic!("8 bit") };
        let input = json!({"name": "pixels", "shape": [1, decoded.height, decoded.width, 3], "datatype": "UINT8", "data": bytes});
        let request =
            request("POST", "/v2/models/line/infer", json!({"id": "x", "inputs": [input]}).to_string());
        let (status, answer) = ask(&app, request).await;
        assert_eq!((status, &answer["id"]), (200, &"x".into()), "{answer}");
        let float = |value: &Value| value.as_f64().map(|value| (value as f32).to_bits());
        assert_eq!(float(&answer["outputs"][0]["data"][0]), float(&expected["score"]));
        let regions: Value = serde_json::from_str(answer["outputs"][3]["data"][0].as_str().unwrap()).unwrap();
        assert_eq!(regions, expected["regions"]);
    }
}

#[tokio::test]
async fn compression_both_ways_keeps_the_length_of_the_json_before_it() {
    let (_server, app, _folder) = app().await;
    let file = elements(&[&bench().images()[0]]);
    let json = json!({"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": file.len()}}],
        "outputs": [{"name": "score", "parameters": {"binary_data": true}}, {"name": "map"}]});
    let plain = send(&app, infer("line", &json, &file)).await;
    let (headers, body) = (plain.headers().clone(), to_bytes(plain.into_body(), 1 << 24).await.unwrap());
    let (expected, parts) = cut(&headers, &body);
    for (coding, is_gzip) in [("gzip", true), ("deflate", false)] {
        let (length, body) = packed(&json, &file);
        let pack = |to: &mut dyn Write| to.write_all(&body).unwrap();
        let body = if is_gzip {
            let mut to = GzEncoder::new(Vec::new(), Compression::default());
            pack(&mut to);
            to.finish().unwrap()
        } else {
            let mut to = ZlibEncoder::new(Vec::new(), Compression::default());
            pack(&mut to);
            to.finish().unwrap()
        };
        let mut request = request("POST", "/v2/models/line/infer", body);
        request.headers_mut().insert(request::JSON_LENGTH, length.parse().unwrap());
        request.headers_mut().insert(header::CONTENT_ENCODING, coding.parse().unwrap());
        request.headers_mut().insert(header::ACCEPT_ENCODING, coding.parse().unwrap());
        let response = send(&app, request).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()[header::CONTENT_ENCODING]),
            (200, &coding.parse().unwrap())
        );
        let headers = response.headers().clone();
        let packed = to_bytes(response.into_body(), 1 << 24).await.unwrap();
        let mut body = Vec::new();
        match is_gzip {
            true => GzDecoder::new(&packed[..]).read_to_end(&mut body).unwrap(),
            false => ZlibDecoder::new(&packed[..]).read_to_end(&mut body).unwrap(),
        };
        assert!(packed.len() < body.len());
        assert_eq!(cut(&headers, &body), (expected.clone(), parts.clone()), "{coding}");
    }
}

#[tokio::test]
async fn a_model_without_calibration_has_no_p_values_and_says_so() {
    let (_server, app, _folder) = app().await;
    let (_, metadata) = ask(&app, request("GET", "/v2/models/native", "")).await;
    let names = |value: &Value| -> Vec<String> {
        value["outputs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|output| output["name"].as_str().unwrap().into())
            .collect()
    };
    assert_eq!(names(&metadata), ["score", "regions", "map"]);
    let file = elements(&[&bench().images()[0]]);
    let mut json = image(json!([1]), json!({"binary_data_size": file.len()}));
    let (status, answer) = ask(&app, infer("native", &json, &file)).await;
    assert_eq!((status, names(&answer)), (200, names(&metadata)));
    json["outputs"] = json!([{"name": "p_value"}]);
    let (status, answer) = ask(&app, infer("native", &json, &file)).await;
    assert_eq!((status, answer["code"].as_str()), (400, Some("request")), "{answer}");
    assert!(answer["help"].as_str().unwrap().contains("calibrate"));
}

#[tokio::test]
async fn errors_carry_the_text_that_clients_show_and_their_exact_content_type() {
    let (server, app, _folder) = app().await;
    let file = elements(&[b"no image"]);
    let json = image(json!([1]), json!({"binary_data_size": file.len()}));
    let response = send(&app, infer("line", &json, &file)).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()[header::CONTENT_TYPE]),
        (415, &"application/json".parse().unwrap())
    );
    let version = server.models.get("line").unwrap().current().version.clone();
    for (path, status) in [
        ("/v2/models/nobody/infer".into(), 404),
        ("/v2/models/line/versions/000000000000/infer".into(), 404),
        (format!("/v2/models/line/versions/{version}/infer"), 415),
        ("/v2/repository/models/line/load".to_owned(), 200),
        ("/v2/repository/index".into(), 200),
    ] {
        let (length, body) = packed(&json, &file);
        let mut request = request("POST", &path, body);
        request.headers_mut().insert(request::JSON_LENGTH, length.parse().unwrap());
        let (found, answer) = ask(&app, request).await;
        assert_eq!(found, status, "{path} {answer}");
        assert_eq!(status == 200, answer.get("error").is_none(), "{answer}");
    }
    // Several images: the text says which one.
    let good = &bench().images()[0];
    let files = elements(&[good, b"no image"]);
    let json = image(json!([2]), json!({"binary_data_size": files.len()}));
    let (_, answer) = ask(&app, infer("line", &json, &files)).await;
    assert!(answer["error"].as_str().unwrap().starts_with("image 1 of 2: "), "{answer}");
    for (path, key) in
        [("/v2/health/live", "live"), ("/v2/health/ready", "ready"), ("/v2/models/line/ready", "ready")]
    {
        let (status, answer) = ask(&app, request("GET", path, "")).await;
        assert_eq!((status, &answer[key]), (200, &true.into()));
    }
    let (_, about) = ask(&app, request("GET", "/v2", "")).await;
    assert_eq!(about["extensions"], json!(["binary_tensor_data", "model_repository"]));
    let (_, described) = ask(&app, request("GET", "/openapi.json", "")).await;
    let paths: Vec<&String> =
        described["paths"].as_object().unwrap().keys().filter(|path| path.starts_with("/v2")).collect();
    assert_eq!(paths.len(), 11, "{paths:?}");
}
