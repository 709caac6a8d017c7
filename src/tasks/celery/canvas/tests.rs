use serde_json::json;

use super::*;
use crate::tasks::celery::envelope::Envelope;
use crate::tasks::celery::{request, time};

fn sender() -> Sender {
    Sender { queue: "ai_tasks".to_owned(), origin: "gen1@host".to_owned() }
}

fn canvas(sender: &Sender) -> Canvas<'_> {
    Canvas { sender, now: time::parse("2026-11-22T07:00:00").unwrap() }
}

fn asked(headers: Value, embed: &Value) -> Request {
    let Value::Object(headers) = headers else { panic!("headers are an object") };
    let envelope = Envelope::around(&json!([[], {}, embed]), headers, ("", "ai_tasks"));
    request::read(envelope).unwrap()
}

fn sent(outgoing: &Outgoing) -> Request {
    request::read(Envelope::parse(outgoing.json.as_bytes()).unwrap()).unwrap()
}

fn step(task: &str, id: &str) -> Value {
    json!({"task": task, "args": [10], "kwargs": {}, "options": {"task_id": id}, "immutable": false})
}

#[test]
fn the_next_step_is_the_last_element() {
    let embed = json!({"chain": [step("t.last", "3"), step("t.next", "2")]});
    let request = asked(json!({"task": "t", "id": "1", "root_id": "r"}), &embed);
    let sender = sender();
    let plan = canvas(&sender).success(&request, &json!(7)).unwrap();
    let [message] = plan.messages.as_slice() else { panic!("{plan:?}") };
    let next = sent(message);
    assert_eq!((next.name.as_str(), next.id.as_str()), ("t.next", "2"));
    assert_eq!(next.args, [json!(7), json!(10)]);
    assert_eq!((next.root_id.as_str(), next.parent_id.as_deref()), ("r", Some("1")));
    assert_eq!(next.embed.chain, [step("t.last", "3")]);
    assert_eq!(plan.children, [json!([["2", null], null])]);
}

#[test]
fn a_failing_step_fails_every_later_one() {
    let embed = json!({
        "chain": [step("t.last", "3"), step("t.next", "2"), {"task": "without an id"}],
        "errbacks": [{"task": "e", "args": [], "options": {"queue": "q"}}],
    });
    let request = asked(json!({"task": "t", "id": "1"}), &embed);
    let failure = TaskFailure::value("chain head");
    let sender = sender();
    let plan = canvas(&sender).failure(&request, TaskState::Failure, &failure);
    let keys: Vec<&str> = plan.stored.iter().map(|stored| stored.key.as_str()).collect();
    assert_eq!(keys, ["celery-task-meta-2", "celery-task-meta-3"]);
    assert!(plan.stored[1].json.contains("chain head"));
    let [errback] = plan.messages.as_slice() else { panic!("{plan:?}") };
    assert_eq!(sent(errback).args, [json!("1")], "the failed task's id");
    assert_eq!(errback.list, "q");
}

fn chord_step() -> Value {
    json!({
        "task": "celery.chord", "args": [], "subtask_type": "chord", "immutable": false,
        "kwargs": {
            "kwargs": {},
            "header": {"task": "celery.group", "args": [],
                "kwargs": {"tasks": [step("t.add", "a"), step("t.add", "b")]},
                "options": {"task_id": "g"}, "subtask_type": "group", "immutable": false},
            "body": step("t.sum", "body"),
        },
        "options": {"task_id": "g"},
    })
}

#[test]
fn a_chord_in_a_chain_is_expanded() {
    let request = asked(json!({"task": "t", "id": "1"}), &json!({"chain": [chord_step()]}));
    let sender = sender();
    let plan = canvas(&sender).success(&request, &json!(7)).unwrap();
    assert_eq!(plan.chords, [("g".to_owned(), 2)]);
    let parts: Vec<Request> = plan.messages.iter().map(sent).collect();
    for (index, part) in parts.iter().enumerate() {
        assert_eq!((part.group.as_deref(), part.group_index), (Some("g"), Some(index as i64)));
        assert_eq!(part.args, [json!(7), json!(10)]);
        assert_eq!(part.embed.chord.as_ref().unwrap()["options"]["group_id"], "g");
    }
    assert_eq!(plan.children, [json!([["body", null], null])]);

    // Its first part ends, then its last.
    let first = canvas(&sender).success(&parts[0], &json!(1)).unwrap().parts.remove(0);
    let last = canvas(&sender).success(&parts[1], &json!(2)).unwrap().parts.remove(0);
    assert_eq!(first.member(), r#"[1,"a","SUCCESS",1]"#);
    let plan = canvas(&sender).complete(&last, &[first.member(), last.member()]);
    let body = sent(&plan.messages[0]);
    assert_eq!((body.name.as_str(), body.id.as_str()), ("t.sum", "body"));
    assert_eq!(body.args, [json!([1, 2]), json!(10)]);
    assert_eq!((body.group.as_deref(), body.group_index), (Some("g"), None));
    assert_eq!((body.parent_id.as_deref(), body.root_id.as_str()), (Some("b"), "1"));
}

#[test]
fn a_failed_part_fails_the_body() {
    let request = asked(json!({"task": "t", "id": "1"}), &json!({"chain": [chord_step()]}));
    let sender = sender();
    let plan = canvas(&sender).success(&request, &json!(7)).unwrap();
    let part = sent(&plan.messages[0]);
    let failure = TaskFailure::value("in chord");
    let failed = canvas(&sender).failure(&part, TaskState::Failure, &failure).parts.remove(0);
    let plan = canvas(&sender).complete(&failed, &[failed.member()]);
    assert!(plan.messages.is_empty());
    let [stored] = plan.stored.as_slice() else { panic!("{plan:?}") };
    assert_eq!(stored.key, "celery-task-meta-body");
    let meta: Value = serde_json::from_str(&stored.json).unwrap();
    assert_eq!(meta["result"]["exc_type"], "ChordError");
    assert_eq!(meta["result"]["exc_message"][0], "Dependency a raised ValueError('in chord')");
}

#[test]
fn a_group_and_a_chain_as_steps() {
    let group = json!({"task": "celery.group", "kwargs": {"tasks": [step("a", "x"), step("b", "y")]},
        "options": {"task_id": "g", "queue": "q"}});
    let chain = json!({"task": "celery.chain", "kwargs": {"tasks": [step("a", "x"), step("b", "y"), group]},
        "options": {"link_error": [{"task": "e"}]}});
    let request = asked(json!({"task": "t", "id": "1"}), &json!({"callbacks": [chain]}));
    let sender = sender();
    let plan = canvas(&sender).success(&request, &json!(7)).unwrap();
    let head = sent(&plan.messages[0]);
    assert_eq!((head.name.as_str(), head.embed.chain.len()), ("a", 2));
    let next = canvas(&sender).success(&head, &json!(8)).unwrap();
    let next = sent(&next.messages[0]);
    assert_eq!(next.name, "b");
    let plan = canvas(&sender).success(&next, &json!(9)).unwrap();
    assert_eq!(plan.messages.len(), 2);
    assert!(plan.messages.iter().all(|message| message.list == "q"));
    assert_eq!(plan.children, [json!([["g", null], [[["x", null], null], [["y", null], null]]])]);
    assert_eq!(sent(&plan.messages[0]).embed.errbacks.len(), 1);
}

#[test]
fn what_cannot_be_sent_fails_the_task_before_it() {
    let sender = sender();
    let mut nested = chord_step();
    nested["kwargs"]["header"]["kwargs"]["tasks"][0] = chord_step();
    for bad in [json!(7), json!({}), json!({"task": "celery.chain"}), nested] {
        let request = asked(json!({"task": "t", "id": "1"}), &json!({"chain": [bad]}));
        let failure = canvas(&sender).success(&request, &json!(7)).unwrap_err();
        assert_eq!(failure.exc_type, "ValueError");
    }
}
