//! Lists: filters, order, pages, columns.

use serde_json::{Value, json};

use super::{api, unique};

#[test]
fn lists_are_filtered_sorted_cut_into_pages_and_columns() {
    let (api, prefix) = (api(), unique("listed"));
    let names: Vec<String> = (0..5).map(|n| format!("{prefix}-{n}-x")).collect();
    for name in &names {
        assert_eq!(api.put(&format!("/queues/%2F/{name}"), &json!({})).0, 201);
    }
    let named = |list: &Value| -> Vec<String> {
        let items = list.as_array().unwrap().iter();
        items
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let query = format!("/queues/%2F?name={prefix}-");
    assert_eq!(named(&api.get(&query)), names);
    let reversed: Vec<_> = names.iter().rev().cloned().collect();
    let sorted = api.get(&format!("{query}&sort=name&sort_reverse=true"));
    assert_eq!(named(&sorted), reversed);
    let matched = api.get(&format!("/queues/%2F?use_regex=true&name=^{prefix}-[13]-"));
    assert_eq!(named(&matched), [names[1].as_str(), names[3].as_str()]);
    let page = api.get(&format!(
        "{query}&page=2&page_size=2&columns=name,arguments"
    ));
    assert_eq!(named(&page["items"]), names[2..4]);
    assert_eq!(page["items"][0], json!({"name": names[2], "arguments": {}}));
    let counts = [
        "filtered_count",
        "item_count",
        "page",
        "page_count",
        "page_size",
    ];
    assert_eq!(
        counts.map(|key| page[key].as_u64().unwrap()),
        [5, 2, 2, 3, 2]
    );
    let (status, beyond) = api.try_get(&format!("{query}&page=4&page_size=2"));
    let reason = "Page out of range, page: 4 page size: 2, len: 5";
    assert_eq!(status, 400);
    assert_eq!(
        beyond,
        json!({"error": "page_out_of_range", "reason": reason})
    );
    assert_eq!(api.try_get(&format!("{query}&page=0")).0, 400);
    assert_eq!(api.try_get(&format!("{query}&page=1&page_size=501")).0, 400);
    // What a scaler asks: the items of a page, without cutting.
    let all = api.get(&format!(
        "/queues/%2F?page=1&use_regex=true&pagination=false&name={prefix}&page_size=100"
    ));
    assert_eq!(named(&all["items"]), names);
    for name in &names {
        assert_eq!(api.delete(&format!("/queues/%2F/{name}")), 204);
    }
}
