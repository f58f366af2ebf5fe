//! The suite for [`Scanner`].

use std::sync::Arc;

use async_trait::async_trait;

use super::{Failure, Instance, cases, ensure};
use crate::digest::{Algorithm, Digest};
use crate::scanner::{Indexed, Notice, ScanRequest, Scanner};

/// A scanner with something to look into: what an instance of this suite holds.
#[async_trait]
pub trait ScannerUnderTest: Send + Sync {
    /// The scanner, which has looked into nothing yet.
    fn scanner(&self) -> Arc<dyn Scanner>;

    /// An image that it can look into, with at least one package in it, and something wrong with one.
    fn image(&self) -> ScanRequest;

    /// Has the scanner learn of something more that is wrong with that image. `false` where the test cannot: cases about
    /// news are then reported as not applicable.
    async fn learn(&self) -> bool;
}

type Store = dyn ScannerUnderTest;
type Outcome = Result<(), Failure>;

cases! { dyn ScannerUnderTest:
    the_state_is_told_and_stays,
    what_was_not_looked_into_has_no_report,
    what_was_looked_into_is_known,
    looking_twice_finds_the_same,
    what_has_no_layers_is_not_looked_into,
    the_same_layers_under_another_digest_are_told_apart,
    news_come_until_they_are_acknowledged,
    news_of_one_thing_are_in_its_report,
    acknowledging_nothing_does_nothing,
}

/// Has the image looked into.
async fn index(scanner: &dyn Scanner, image: &ScanRequest) -> Outcome {
    let indexed = scanner.index(image).await?;
    ensure!(
        indexed == Indexed::Done,
        "looking into the image says {indexed:?}"
    );
    Ok(())
}

async fn the_state_is_told_and_stays(instance: &mut dyn Instance<Store>) -> Outcome {
    let test = instance.store();
    let scanner = test.scanner();
    let before = scanner.state().await?;
    ensure!(!before.is_empty(), "the state is empty");
    index(&*scanner, &test.image()).await?;
    test.learn().await;
    let after = scanner.state().await?;
    ensure!(
        before == after,
        "the state was {before:?} and is {after:?}, though nothing but knowledge has come"
    );
    Ok(())
}

async fn what_was_not_looked_into_has_no_report(instance: &mut dyn Instance<Store>) -> Outcome {
    let test = instance.store();
    let scanner = test.scanner();
    let none = Digest::of(Algorithm::Sha256, b"nobody has pushed this");
    for digest in [none, test.image().digest] {
        let report = scanner.report(&digest).await?;
        ensure!(report.is_none(), "{digest} has the report {report:?}");
    }
    let news = scanner.notices(9).await?;
    ensure!(news.is_empty(), "of nothing there are the news {news:?}");
    Ok(())
}

async fn what_was_looked_into_is_known(instance: &mut dyn Instance<Store>) -> Outcome {
    let test = instance.store();
    let (scanner, image) = (test.scanner(), test.image());
    index(&*scanner, &image).await?;
    let report = scanner.report(&image.digest).await?;
    let Some(report) = report else {
        return Err(Failure::new("an image that was looked into has no report".into()));
    };
    ensure!(!report.name.is_empty(), "the report has no name");
    ensure!(
        report.worst().is_some(),
        "nothing is wrong with the image: {report:?}"
    );
    for feature in &report.features {
        ensure!(
            !feature.name.is_empty() && !feature.added_by.is_empty(),
            "a package has no name, or came from nowhere: {feature:?}"
        );
        let named = feature.vulnerabilities.iter().all(|found| !found.name.is_empty());
        ensure!(named, "something without a name is wrong with {feature:?}");
    }
    Ok(())
}

async fn looking_twice_finds_the_same(instance: &mut dyn Instance<Store>) -> Outcome {
    let test = instance.store();
    let (scanner, image) = (test.scanner(), test.image());
    index(&*scanner, &image).await?;
    let once = scanner.report(&image.digest).await?;
    index(&*scanner, &image).await?;
    let twice = scanner.report(&image.digest).await?;
    ensure!(once == twice, "the report was {once:?} and is {twice:?}");
    Ok(())
}

async fn what_has_no_layers_is_not_looked_into(instance: &mut dyn Instance<Store>) -> Outcome {
    let test = instance.store();
    let scanner = test.scanner();
    let mut image = test.image();
    image.layers.clear();
    let indexed = scanner.index(&image).await?;
    ensure!(
        indexed == Indexed::Unsupported,
        "an image without layers was {indexed:?}"
    );
    Ok(())
}

async fn the_same_layers_under_another_digest_are_told_apart(instance: &mut dyn Instance<Store>) -> Outcome {
    let test = instance.store();
    let (scanner, image) = (test.scanner(), test.image());
    let mut twin = image.clone();
    twin.digest = Digest::of(Algorithm::Sha256, b"another configuration, the same layers");
    index(&*scanner, &twin).await?;
    let report = scanner.report(&image.digest).await?;
    ensure!(
        report.is_none(),
        "a manifest that was not looked into has the report {report:?}"
    );
    Ok(())
}

/// What the scanner has to tell, once it has learnt something of the image.
async fn news(test: &Store) -> Result<Vec<Notice>, Failure> {
    index(&*test.scanner(), &test.image()).await?;
    if !test.learn().await {
        return Err(Failure::NotApplicable("the test cannot teach the scanner"));
    }
    let news = test.scanner().notices(99).await?;
    let of_image = news.iter().filter(|notice| notice.digest == test.image().digest);
    ensure!(
        of_image.count() > 0,
        "of what was learnt there are the news {news:?}"
    );
    Ok(news)
}

async fn news_come_until_they_are_acknowledged(instance: &mut dyn Instance<Store>) -> Outcome {
    let test = instance.store();
    let first = news(&*test).await?;
    let again = test.scanner().notices(99).await?;
    ensure!(first == again, "the news were {first:?} and are {again:?}");
    let one = test.scanner().notices(1).await?;
    ensure!(one.len() <= 1, "where one is asked for, {} come", one.len());
    let ids: Vec<String> = first.into_iter().map(|notice| notice.id).collect();
    test.scanner().acknowledge(&ids).await?;
    let left = test.scanner().notices(99).await?;
    ensure!(left.is_empty(), "{left:?} come though they were acknowledged");
    Ok(())
}

async fn news_of_one_thing_are_in_its_report(instance: &mut dyn Instance<Store>) -> Outcome {
    let test = instance.store();
    let news = news(&*test).await?;
    let report = test
        .scanner()
        .report(&test.image().digest)
        .await?
        .unwrap_or_default();
    let known: Vec<&str> = report
        .features
        .iter()
        .flat_map(|feature| &feature.vulnerabilities)
        .map(|found| found.name.as_str())
        .collect();
    for notice in news.iter().filter(|notice| notice.digest == test.image().digest) {
        ensure!(
            known.contains(&notice.vulnerability.name.as_str()),
            "there is news of {}, and a report of {known:?}",
            notice.vulnerability.name
        );
    }
    Ok(())
}

async fn acknowledging_nothing_does_nothing(instance: &mut dyn Instance<Store>) -> Outcome {
    let test = instance.store();
    let before = news(&*test).await?;
    test.scanner().acknowledge(&[]).await?;
    test.scanner().acknowledge(&["no such news".to_owned()]).await?;
    let after = test.scanner().notices(99).await?;
    ensure!(before == after, "the news were {before:?} and are {after:?}");
    Ok(())
}
