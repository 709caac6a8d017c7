//! A report as a document: what is said, the facts under it, charts, the disclaimer; as Markdown
//! and as a page of its own in HTML.
//!
//! Whoever wrote the sentences, the facts stand below them as the program computed them, so that a
//! reader can check every word. Pure: equal documents give equal bytes.

use std::fmt::Write as _;

use crate::advice::korean::name_and_code;
use crate::market::EventTime;
use crate::messages::advice::{Report, ReportOrigin, Rung};

use super::chart::Chart;
use super::facts::{Fact, Facts, Issue, Layout, Section};

/// What stands under every report.
pub const DISCLAIMER: &str = "투자 판단의 책임은 투자자 본인에게 있습니다. 이 보고서는 시세 자료를 자동으로 정리한 참고 자료이며 매매 권유가 아닙니다. 수치는 기준 시각의 추정치이고 수익을 보장하지 않습니다.";
/// How a template's text is marked.
pub const MARK: &str = "(자동 생성: 템플릿)";
/// Cells of a table with more characters are prose.
const LONG_CELL: usize = 16;
/// What ends the heading of a page.
const HEAD_ENDS: &str = "</header>";
/// Statements that make a paragraph.
const PARAGRAPH: usize = 3;

/// A report that can be printed.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Title.
    pub title: String,
    /// Who wrote it.
    pub mark: String,
    /// What is said.
    pub paragraphs: Vec<String>,
    /// What it rests on.
    pub sections: Vec<Section>,
    /// The issues of the sections.
    pub issues: Vec<Issue>,
    /// As of.
    pub as_of: EventTime,
}

impl Document {
    /// By the template: the facts' own lead.
    #[must_use]
    pub fn of_template(facts: &Facts) -> Self {
        Self::new(facts, MARK.to_owned(), vec![facts.lead.clone()])
    }

    /// With a model's checked statements.
    #[must_use]
    pub fn of_model(facts: &Facts, statements: &[String], model: &str) -> Self {
        let mark = format!("(작성: 언어 모델 {}, 수치는 자동 대조함)", super::facts::plain(model));
        let paragraphs = statements.chunks(PARAGRAPH).map(|group| group.join(" ")).collect();
        Self::new(facts, mark, paragraphs)
    }

    /// The sentences of a stored report, marked with its age. Its tables are on its own page.
    #[must_use]
    pub fn of_stored(report: &Report, mark: String) -> Self {
        let said = report.body.split("\n## ").next().unwrap_or_default();
        let said = said.split("\n---").next().unwrap_or_default();
        let paragraphs = said.split("\n\n").map(str::trim).filter(|text| !text.is_empty());
        Self {
            title: report.title.clone(),
            mark,
            paragraphs: paragraphs.map(str::to_owned).collect(),
            sections: Vec::new(),
            issues: Vec::new(),
            as_of: report.as_of,
        }
    }

    fn new(facts: &Facts, mark: String, paragraphs: Vec<String>) -> Self {
        Self {
            title: facts.title.clone(),
            mark,
            paragraphs,
            sections: facts.sections.clone(),
            issues: facts.issues.clone(),
            as_of: facts.as_of,
        }
    }

    /// The report of it.
    #[must_use]
    pub fn report(&self, facts: &Facts, rung: Rung, reason: &str, model: &str) -> Report {
        let written = matches!(rung, Rung::Model | Rung::Cached | Rung::Repaired);
        Report {
            id: facts.report_id(),
            kind: facts.kind.to_owned(),
            subject: facts.subject.clone(),
            title: self.title.clone(),
            body: self.markdown(),
            as_of: facts.as_of,
            origin: if written { ReportOrigin::Model } else { ReportOrigin::Template },
            rung,
            fallback_reason: reason.to_owned(),
            retry_in_s: None,
            model: if written { model.to_owned() } else { String::new() },
            sources: facts.sources.clone(),
        }
    }

    fn call(&self, code: &str) -> String {
        let name = self.issues.iter().find(|issue| issue.code == code);
        name_and_code(name.map_or("", |issue| issue.name.as_str()), code)
    }

    /// The text, Korean Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("{}\n", self.mark);
        for paragraph in &self.paragraphs {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "\n{paragraph}\n");
        }
        for section in &self.sections {
            let _ = write!(text, "\n## {}\n\n", section.heading);
            match section.layout {
                Layout::List => {
                    for fact in &section.rows {
                        let _ = writeln!(text, "- **{}**: {}", fact.label, fact.value);
                    }
                }
                Layout::ByIssue | Layout::ByOption => {
                    let table = Table::of(section);
                    let _ = writeln!(text, "| {} | {} |", table.about, table.labels.join(" | "));
                    let _ = writeln!(text, "|---|{}", "---|".repeat(table.labels.len()));
                    for (row, cells) in &table.rows {
                        let _ = writeln!(
                            text,
                            "| {} | {} |",
                            self.head(section, row),
                            cells.join(" | ")
                        );
                    }
                    for fact in &table.others {
                        let _ = write!(text, "\n- **{}**: {}\n", fact.label, fact.value);
                    }
                }
            }
        }
        let _ = write!(text, "\n---\n\n{DISCLAIMER}\n");
        text
    }

    /// A page that needs nothing else: styles and charts are in it, and no script is.
    #[must_use]
    pub fn html(&self, charts: &[Chart]) -> String {
        let title = escaped(&self.title);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"ko\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <header><h1>{title}</h1><p class=\"mark\">{} 기준 · {}</p>{HEAD_ENDS}\n<section class=\"said\">",
            escaped(&super::facts::moment(self.as_of)),
            escaped(&self.mark)
        );
        for paragraph in &self.paragraphs {
            let _ = write!(page, "<p>{}</p>", escaped(paragraph));
        }
        page.push_str("</section>\n");
        for chart in charts {
            let _ = writeln!(page, "<figure><div class=\"wide\">{}</div></figure>", chart.svg());
        }
        for section in &self.sections {
            let _ = writeln!(page, "<section><h2>{}</h2>", escaped(section.heading));
            match section.layout {
                Layout::List => {
                    page.push_str("<div class=\"wide\"><table class=\"list\">");
                    for fact in &section.rows {
                        let _ = write!(
                            page,
                            "<tr><th>{}</th><td{}>{}</td></tr>",
                            escaped(&fact.label),
                            tone(&fact.value),
                            escaped(&fact.value)
                        );
                    }
                }
                Layout::ByIssue | Layout::ByOption => self.table_of(section, &mut page),
            }
            page.push_str("</table></div>");
            for fact in Table::of(section).others.iter().filter(|_| section.layout != Layout::List)
            {
                let (label, value) = (escaped(&fact.label), escaped(&fact.value));
                let _ = write!(page, "<p class=\"mark\">{label}: {value}</p>");
            }
            page.push_str("</section>\n");
        }
        let _ =
            write!(page, "<footer>{}</footer>\n</main>\n</body>\n</html>\n", escaped(DISCLAIMER));
        page
    }

    /// What a row of a table is about.
    fn head(&self, section: &Section, row: &str) -> String {
        match section.layout {
            Layout::ByIssue => self.call(row),
            Layout::List | Layout::ByOption => row.to_owned(),
        }
    }

    fn table_of(&self, section: &Section, page: &mut String) {
        let table = Table::of(section);
        let _ = write!(
            page,
            "<div class=\"wide\"><table class=\"grid\"><thead><tr><th>{}</th>",
            table.about
        );
        for label in &table.labels {
            let _ = write!(page, "<th>{}</th>", escaped(label));
        }
        page.push_str("</tr></thead>");
        for (row, cells) in &table.rows {
            let _ = write!(page, "<tr><th>{}</th>", escaped(&self.head(section, row)));
            for (label, cell) in table.labels.iter().zip(cells) {
                // Prose may break, figures may not.
                let kind = match cell.chars().count() > LONG_CELL {
                    true => " class=\"prose\"",
                    false => tone(cell),
                };
                let wraps =
                    if kind.contains("prose") { "" } else { " style=\"white-space:nowrap\"" };
                let _ = write!(
                    page,
                    "<td{kind}{wraps} data-label=\"{}\">{}</td>",
                    escaped(label),
                    escaped(cell)
                );
            }
            page.push_str("</tr>");
        }
    }
}

/// A stored page with `mark` under its heading; `None` when it is none of ours.
#[must_use]
pub fn marked_page(page: &str, mark: &str) -> Option<String> {
    let (head, rest) = page.split_once(HEAD_ENDS)?;
    Some(format!("{head}<p class=\"mark\">{}</p>{HEAD_ENDS}{rest}", escaped(mark)))
}

/// Facts by issue or defence: a column a label, a row an issue; several facts of one label share a
/// cell.
struct Table<'a> {
    about: &'static str,
    labels: Vec<&'a str>,
    rows: Vec<(&'a str, Vec<String>)>,
    /// Facts that belong to no row.
    others: Vec<&'a Fact>,
}

impl<'a> Table<'a> {
    fn of(section: &'a Section) -> Self {
        let by_option = section.layout == Layout::ByOption;
        let about = if by_option { "방안" } else { "종목" };
        let mut table = Self { about, labels: Vec::new(), rows: Vec::new(), others: Vec::new() };
        for fact in &section.rows {
            let place = match by_option {
                true => fact.label.split_once(": "),
                false => Some((fact.about.as_deref().unwrap_or_default(), fact.label.as_str())),
            };
            match place {
                Some((row, label)) => table.put(row, label, &fact.value),
                None => table.others.push(fact),
            }
        }
        let columns = table.labels.len();
        table.rows.iter_mut().for_each(|(_, cells)| cells.resize(columns, String::new()));
        table
    }

    fn put(&mut self, row: &'a str, label: &'a str, value: &str) {
        let column = self.labels.iter().position(|known| *known == label).unwrap_or_else(|| {
            self.labels.push(label);
            self.labels.len() - 1
        });
        let at = self.rows.iter().position(|(known, _)| *known == row).unwrap_or_else(|| {
            self.rows.push((row, Vec::new()));
            self.rows.len() - 1
        });
        let cells = &mut self.rows[at].1;
        if cells.len() <= column {
            cells.resize(column + 1, String::new());
        }
        let cell = &mut cells[column];
        if !cell.is_empty() {
            cell.push_str("; ");
        }
        cell.push_str(value);
    }
}

/// The class of a value that begins with a sign: red is up and blue down, as in Korea.
fn tone(value: &str) -> &'static str {
    let signed = value.contains('%');
    match value.chars().next() {
        Some('+') if signed => " class=\"up\"",
        Some('-') if signed => " class=\"down\"",
        _ => "",
    }
}

/// `text` for HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// Light and dark as the reader has it; charts stand on white in both. On a telephone a row of a table
/// is a block of its own.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6778;--line:#e3e7ee;--up:#c62828;--down:#1552b0;--page:#f4f6f9;--sheet:#fff}\
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.65 'Pretendard','Noto Sans KR','Noto Sans CJK KR','Apple SD Gothic Neo','Malgun Gothic',sans-serif;word-break:keep-all;overflow-wrap:break-word}\
main{max-width:860px;margin:24px auto;background:var(--sheet);padding:36px 40px;border:1px solid var(--line);border-radius:10px}\
h1{font-size:1.6rem;line-height:1.35;margin:0 0 6px}h2{font-size:1.1rem;margin:32px 0 10px}\
.mark{color:var(--soft);margin:0 0 20px;font-size:.9rem}.said{border-left:4px solid var(--down);padding-left:18px}.said p{margin:0 0 10px}\
.wide{overflow-x:auto}figure{margin:24px 0 0;background:#fff;border-radius:8px}figure svg{width:100%;height:auto;display:block}\
table{border-collapse:collapse;width:100%;font-size:.93rem}th,td{padding:8px 10px;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}\
.list th{width:34%;color:var(--soft);font-weight:500}.grid tbody th,.grid tr>th:first-child{white-space:nowrap}.grid thead th{color:var(--soft);font-weight:600;border-bottom:2px solid var(--line)}.grid td{font-variant-numeric:tabular-nums}.grid .prose{min-width:11em}\
.up{color:var(--up)}.down{color:var(--down)}footer{margin-top:36px;padding-top:16px;border-top:1px solid var(--line);color:var(--soft);font-size:.85rem}\
@media(max-width:640px){main{padding:20px 16px;margin:0;border:0;border-radius:0}h1{font-size:1.35rem}.list th{width:40%}th,td{padding:7px 8px}figure svg text{font-size:18px}\
.grid,.grid tbody,.grid tr,.grid tbody th{display:block}.grid thead{display:none}.grid tbody th{border:0;padding-top:16px}.grid td{display:flex;gap:16px;justify-content:space-between;padding:5px 8px;border:0;white-space:normal!important}.grid td.prose{display:block}.grid td::before{content:attr(data-label);color:var(--soft);flex:none}.grid td.prose::before{display:block}.grid tr{border-bottom:1px solid var(--line);padding-bottom:8px}}\
@media(prefers-color-scheme:dark){:root{--ink:#e7ebf1;--soft:#9aa7b8;--line:#303947;--up:#ff7b72;--down:#79b0ff;--page:#0f141b;--sheet:#18202b}figure{padding:8px}}\
@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--line:#ccc;--up:#c62828;--down:#1552b0;--page:#fff;--sheet:#fff}main{border:0;margin:0;padding:0;max-width:none}.wide{overflow:visible}figure,tr{break-inside:avoid}h2{break-after:avoid}}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::ReportRequest;
    use crate::llm::examples::{alert, all};
    use crate::messages::OutwardEvent;

    fn document(request: &ReportRequest) -> Document {
        Document::of_template(&Facts::of(request))
    }

    #[test]
    fn an_alert_reads_like_this() {
        let facts = Facts::of(&alert());
        let report = document(&alert()).report(&facts, Rung::Template, "", "");
        assert_eq!(report.title, "[경고] 삼성전자(005930) 종목 급락");
        assert_eq!((report.kind.as_str(), report.model.as_str()), ("crash_alert", ""));
        let expected = "(자동 생성: 템플릿)

2024-08-05 09:00:21 (한국시간)에 삼성전자(005930)의 종목 급락 경고 단계가 감지되었습니다. 최근 5분 5.33% 하락하여 71,000원입니다.

## 무슨 일인가

- **대상**: 삼성전자(005930)
- **유형**: 종목 급락
- **단계**: 경고
- **발생 시각**: 2024-08-05 09:00:21 (한국시간)
- **현재 값**: 71,000원
- **비교 값**: 75,000원
- **변동률**: -5.33%
- **비교 구간**: 최근 5분
- **위험 점수**: 88.1점

## 판단 근거

- **평소 변동폭 대비 배수**: 7.25배

## 대응 방안

| 방안 | 순위 | 내용 | 조치 전 95% VaR | 조치 후 95% VaR | 위험 변화 | 비용 |
|---|---|---|---|---|---|---|
| 전량 현금화 | 1순위 | 140주 전량을 71,000원에 매도하여 현금화합니다. | 490,539원 | 0원 | -100.00% | 27,100원 |
";
        assert!(report.body.starts_with(expected), "{}", report.body);
        assert!(report.body.ends_with(&format!("{DISCLAIMER}\n")));
    }

    #[test]
    fn every_kind_is_marked_and_disclaimed() {
        let kinds: Vec<_> = all().iter().map(ReportRequest::kind).collect();
        for kind in [
            "crash_alert",
            "threat_alert",
            "recommendation",
            "mitigation",
            "market_risk",
            "alert_digest",
            "weekly_review",
        ] {
            assert!(kinds.contains(&kind), "{kind}");
        }
        for request in all() {
            let facts = Facts::of(&request);
            let document = Document::of_template(&facts);
            let report = document.report(&facts, Rung::Template, "이유", "m");
            assert!(report.body.starts_with(MARK) && report.body.contains(DISCLAIMER));
            assert_eq!((report.fallback_reason.as_str(), report.model.as_str()), ("이유", ""));
            let page = document.html(&[]);
            assert!(page.contains(&escaped(&report.title)) && page.contains(&escaped(DISCLAIMER)));
            assert!(!page.contains("<script") && page.ends_with("</html>\n"));
        }
    }

    #[test]
    fn each_kind_says_its_figures() {
        let bodies: Vec<String> =
            all().iter().map(|request| document(request).markdown()).collect();
        for (index, words) in [
            (1, &["코스피", "2,441.55포인트", "-8.77%", "전일 종가 대비"][..]),
            (2, &["시세 수신", "시세 끊김"]),
            (3, &["20.00%", "0.0421", "현금 비중**: 80.00%", "| 삼성전자(005930) | 1순위 |"]),
            (4, &["추천 없음"]),
            (5, &["10,000,000원 (가정한 값)", "490,539원", "실행 불가 - 하한가에 있습니다"]),
            (6, &["포트폴리오(코스피)"]),
            (
                7,
                &[
                    "평균 위험 점수**: 43.2점",
                    "| 삼성전자(005930) | 88.1점 |",
                    "코스피 시장 급락 경고 단계",
                ],
            ),
            (8, &["알림 수**: 2건", "유형별: 종목 급락"]),
            (9, &["코스피 주간 등락률**: -8.77%", "급락 알림 (심각)**: 2건"]),
        ] {
            for word in words {
                assert!(bodies[index].contains(word), "{word}\n{}", bodies[index]);
            }
        }
    }

    #[test]
    fn a_name_cannot_write_markup() {
        let ReportRequest::Alert { event, .. } = alert() else { unreachable!() };
        let mut data = event.data().clone();
        data["name"] = "<b>[나쁜](http)\n# 이름|".into();
        let (id, subject) = (event.id.clone(), event.subject.as_str());
        let event = OutwardEvent::new(event.kind, id, subject, subject, event.time, &data);
        let document = document(&ReportRequest::Alert { event: event.into(), plan: None });
        let (body, page) = (document.markdown(), document.html(&[]));
        assert!(body.contains("b 나쁜 (http) 이름"), "{body}");
        assert!(!body.contains('<') && !body.contains("]("), "{body}");
        assert!(!page.contains("<b>"), "{page}");
    }
}
