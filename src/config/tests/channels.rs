//! The settings of the channel layer.

use super::Place;

#[test]
fn a_channel_layer_is_on_the_daemons_redis_unless_it_has_hosts() {
    let layer = || Place::new().env("BONGSU_CHANNELS__LAYER", "core");
    let errors = layer().errors();
    assert!(errors.contains("channels.layer") && errors.contains("REDIS_URL"), "{errors}");
    let hosts = |place: Place| {
        let hosts = place.load().unwrap().channels.hosts;
        hosts.iter().map(|url| url.expose().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(hosts(layer().env("REDIS_URL", "redis://u:pw@h/3")), ["redis://u:pw@h/3"]);
    let two = layer()
        .env("REDIS_URL", "redis://h")
        .env("BONGSU_CHANNELS__HOSTS", "redis://a,redis://:canary@b");
    assert!(!format!("{:?}", two.load().unwrap()).contains("canary"));
    assert_eq!(hosts(two), ["redis://a", "redis://:canary@b"]);
    let listed = Place::new()
        .toml("[channels]\nlayer = \"pubsub\"\nhosts = [\"redis://a\", \"redis://b\"]\n");
    assert_eq!(hosts(listed), ["redis://a", "redis://b"]);
    assert_eq!(hosts(Place::new().env("REDIS_URL", "redis://h")), [""; 0], "off needs none");
    let errors = layer().env("BONGSU_CHANNELS__HOSTS", "redis//:canary@h").errors();
    assert!(errors.contains("channels.hosts") && !errors.contains("canary"), "{errors}");
}
