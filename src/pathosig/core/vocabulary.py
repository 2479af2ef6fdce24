"""The vocabulary of clinical tables in several languages: headers, units, outcomes and missing values.

This module holds only data; `core.words` looks words up in it. Phrases are folded: lower case, without accents, with single
blanks between words (``Gesamtüberleben`` is ``gesamtuberleben``). Chinese and Japanese phrases match anywhere in a header.
"""

from __future__ import annotations

ENDPOINTS = {
    "os": "os; overall survival; overall; gesamtuberleben; gesamtueberleben; gesamtuberlebenszeit; survie globale; "
    "supervivencia global; sobrevida global; sopravvivenza globale; algehele overleving; totale overleving; 总生存期; 总生存; 総生存期間",
    "dfs": "dfs; disease free survival; disease free; krankheitsfreies uberleben; survie sans maladie; "
    "supervivencia libre de enfermedad; sopravvivenza libera da malattia; ziektevrije overleving; 无病生存期; 无病生存",
    "rfs": "rfs; recurrence free survival; relapse free survival; recurrence free; relapse free; rezidivfreies uberleben; "
    "rezidivfreiheit; survie sans recidive; survie sans rechute; supervivencia libre de recidiva; sopravvivenza libera da recidiva; "
    "无复发生存期; 无复发生存",
    "pfs": "pfs; progression free survival; progression free; progressionsfreies uberleben; survie sans progression; ssp; "
    "supervivencia libre de progresion; slp; sopravvivenza libera da progressione; 无进展生存期; 无进展生存",
    "pfi": "pfi; progression free interval",
    "dss": "dss; disease specific survival; disease specific; krankheitsspezifisches uberleben; survie specifique; "
    "supervivencia especifica; 疾病特异性生存",
    "css": "css; cancer specific survival; cause specific survival; cancer specific; tumorspezifisches uberleben",
    "dfi": "dfi; disease free interval; krankheitsfreies intervall",
    "efs": "efs; event free survival; event free; ereignisfreies uberleben; survie sans evenement; 无事件生存",
    "mfs": "mfs; metastasis free survival; metastases free survival; metastasis free; metastasenfreies uberleben; survie sans metastase",
    "dmfs": "dmfs; distant metastasis free survival; distant metastases free survival; fernmetastasenfreies uberleben",
    "lrfs": "lrfs; lrrfs; local recurrence free survival; locoregional recurrence free survival; lokalrezidivfreies uberleben",
    "bcrfs": "bcrfs; biochemical recurrence free survival; bcr free survival; bcr",
    "ttr": "ttr; time to recurrence; time to relapse; days to recurrence; months to recurrence; days to relapse; zeit bis rezidiv",
    "ttp": "ttp; time to progression; days to progression; zeit bis progression",
}
"""Endpoint -> its short and long names. The time of an endpoint is paired only with the event of the same endpoint."""

DEATH_ENDPOINTS = frozenset({"os", "dss", "css"})
"""Endpoints whose event is a death; the event of other endpoints is a recurrence, a progression or any event."""

HEADERS = {
    # -- units of time
    "days": "day; days; tage; tag; jours; jour; dias; dia; giorni; dagen; dgn; 天; 日数",
    "weeks": "week; weeks; wk; wks; wochen; woche; semaines; semaine; semanas; settimane; weken; 周; 週",
    "months": "month; months; mo; mos; mon; mth; mths; mnth; monat; monate; monaten; mois; mes; meses; mese; mesi; maand; maanden; "
    "uberlebensmonate; 月",
    "years": "year; years; yr; yrs; jahr; jahre; jahren; ans; annee; annees; anos; ano; anni; anno; jaar; jaren; 年",
    # -- kinds of column
    "time": "time; times; duration; interval; futime; fu time; futimes; follow up; followup; fup; fu; zeit; dauer; nachbeobachtung; "
    "nachbeobachtungszeit; beobachtungszeit; uberlebenszeit; ueberlebenszeit; temps; delai; duree; suivi; tiempo; seguimiento; tempo; durata; tijd; "
    "时间; 時間; 随访",
    "survival": "survival; uberleben; ueberleben; uberlebenszeit; uberlebensmonate; survie; supervivencia; sobrevida; "
    "sopravvivenza; overleving; 生存期; 生存时间; 生存時間; 生存",
    "event": "event; events; fustat; status; stat; state; indicator; ind; flag; outcome; endpoint; ereignis; evenement; evento; statut; etat; estado; stato; "
    "bool; 事件; 状态; 状態; 结局",
    "censor": "censor; censored; censoring; censorship; censorings; cens; censure; censures; censuree; zensiert; zensur; zensierung; "
    "censurado; censurados; censura; censurato; gecensureerd; 删失; 打ち切り",
    "vital": "vital; vital status; vitalstatus; vital state; alive status; life status; survival status; survival state; uberlebensstatus; "
    "statut vital; etat vital; estado vital; stato vitale; vitale status; lebensstatus; 生存状态; 生存状態; 存活状态; 转归",
    "alive": "alive; living; survived; survivor; lebend; lebt; am leben; vivant; en vie; vivo; vivente; in leven; levend; 存活",
    "death": "death; deaths; dead; died; deceased; expired; demise; mortality; exitus; tod; tot; verstorben; gestorben; todesfall; todesdatum; "
    "sterbedatum; deces; decede; decedee; mort; dcd; muerte; muerto; fallecido; fallecimiento; defuncion; morte; morto; decesso; deceduto; obito; "
    "overleden; overlijden; overlijdensdatum; dood; dod; 死亡",
    "recurrence": "recurrence; recurred; recurrent; relapse; relapsed; recur; rezidiv; rezidivdatum; lokalrezidiv; recidive; rechute; "
    "recidiva; recaida; recidief; 复发; 再発",
    "progression": "progression; progressed; progress; progredient; progresion; progressione; progressie; 进展",
    "metastasis": "distant metastasis; metastasis event; developed metastasis; fernmetastase; fernmetastasen; mets event",
    "new tumor": "new tumor; new tumour; new tumor event; second tumor; second primary; second cancer",
    "cause": "cause; cause of death; cod; todesursache; cause du deces; causa de muerte; causa; reason",
    "tumor status": "tumor status; tumour status; person neoplasm cancer status; cancer status; disease status",
    "response": "response; treatment outcome; best response; remission; residual; residual tumor; ansprechen; reponse; respuesta; risposta; margin",
    "free": "free; frei; sans; libre; libera",
    # -- dates and what happened on them
    "date": "date; datum; fecha; data; dt; todesdatum; sterbedatum; diagnosedatum; op datum; opdatum; geburtsdatum; rezidivdatum; "
    "overlijdensdatum; 日期; 日付",
    "birth": "birth; born; dob; geburt; geburtsdatum; geb; naissance; nacimiento; nascita; geboorte; 出生",
    "diagnosis": "diagnosis; diagnosed; dx; diag; diagnose; erstdiagnose; ed; diagnosedatum; diagnostic; diagnostico; diagnosi; 诊断; 確診",
    "surgery": "surgery; operation; operated; op; opdatum; resection; resektion; excision; procedure; chirurgie; intervention; cirugia; intervencion; "
    "intervento; chirurgia; operatie; operacion; nephrectomy; cystectomy; prostatectomy; mastectomy; lobectomy; hepatectomy; colectomy; 手术; 手術",
    "entry": "randomisation; randomization; randomised; randomized; enrolment; enrollment; registration; inclusion; einschluss; "
    "randomisierung; study entry; entry; treatment start; start of treatment; start of therapy; therapiebeginn; therapy start; 入组",
    "last contact": "last contact; last known alive; last follow up; last followup; last fu; last seen; last visit; last news; lfu; dlfu; "
    "last known; last alive; latest follow up; follow up date; date of follow up; followup date; fu date; date fu; end of follow up; letzter kontakt; letzten kontakt; letzten kontakts; letzten kontaktes; letzten nachsorge; letzten follow up; letzten vorstellung; letzten info; "
    "letzte nachsorge; letztes follow up; letzter follow up; letzte info; letzte information; letzte vorstellung; letzter lebendkontakt; "
    "dernieres nouvelles; derniere nouvelle; ddn; dernier contact; dernier suivi; derniere visite; date point; ultimo contacto; ultimo seguimiento; "
    "ultima visita; ultima revision; ultimo follow up; ultimo contatto; ultimo controllo; laatste contact; laatste controle; 末次随访; 最后随访; 最終",
    "to": "days to; months to; time to; years to; weeks to; days until; days from",
    # -- who and where
    "patient": "patient; barcode; patientid; patient id; patient identifier; patientnr; patient no; patient number; patient nr; pat id; pat nr; patnr; patid; pid; "
    "patientennummer; patienten id; patienten nr; patientennr; numero patient; no patient; id patient; ippr; ipp; paciente; id paciente; nhc; "
    "paziente; id paziente; patientnummer; case; case id; caseid; case submitter id; submitter id; bcr patient barcode; patient barcode; "
    "subject; subject id; subjectid; usubjid; participant; participant id; mrn; id; sampid; samples; kennung; pseudonym; fallnummer; fall nr; 患者; 病人; 病例号; 编号",
    "case number": "case number; nummer; numero; number; nr; no; num; lfd nr; laufende nummer; pat no",
    "sample": "sample; sample id; sampleid; specimen; specimen id; block; aliquot; tumor sample barcode; sample barcode; probe; proben id",
    "slide": "slide; slides; slide id; slideid; slide name; slide file; slide filename; wsi; wsi id; wsi file; image; image id; image name; image file; "
    "filename; file name; file; svs; schnitt; schnittnummer; praparat; lame; lames; lamina; vetrino; coupe; path; scan; accession; accession number; "
    "histology number; histologienummer; e nummer; befundnummer; 切片",
    "cohort": "cohort; cohorts; cohort name; kohorte; cohorte; coorte; set; split; data set; dataset; partition; data split; subset; fold split; 队列; 数据集",
    "site": "site; center; centre; hospital; institution; clinic; klinik; zentrum; krankenhaus; standort; hopital; hospital name; ospedale; ziekenhuis; "
    "tissue source site; centro; 医院; 中心",
}
"""Sense of a header -> the phrases that have it; a header may have several senses."""

COVARIATES = {
    "age": "age; age at diagnosis; age at dx; age at surgery; age at index; diagnosis age; age years; age yrs; patient age; "
    "age at initial pathologic diagnosis; age at initial pathological diagnosis; alter; alter bei diagnose; alter bei ed; alter bei op; patientenalter; "
    "age au diagnostic; age a la chirurgie; edad; edad al diagnostico; eta; eta alla diagnosi; leeftijd; idade; 年龄; 年齢",
    "sex": "sex; gender; is female; female; male; is male; geschlecht; sexe; sexo; genere; sesso; geslacht; 性别; 性別",
    "stage": "stage; tumor stage; tumour stage; pathologic stage; pathological stage; clinical stage; ajcc stage; ajcc pathologic stage; "
    "ajcc pathologic tumor stage; pathologic tumor stage; uicc; uicc stage; uicc stadium; figo; figo stage; stadium; tumorstadium; stade; "
    "estadio; stadio; tnm; tnm stage; tnm group; ptnm; ajcc; ajcc group; ajcc stage group; p stage; pstage; stage group; grouped stage; overall stage; "
    "stage at diagnosis; stage at surgery; disease stage; cancer stage; 分期",
    "t stage": "t stage; pt; pt stage; ajcc pathologic t; t; pathologic t; path t stage; ajcc t",
    "n stage": "n stage; pn; pn stage; ajcc pathologic n; n; pathologic n; lymph node; lymph nodes; lymph node status; nodal status; n status; "
    "nodal stage; path n stage; lymphknoten; lymphknotenstatus; ajcc n; nodes positive; pnodes; positive lymph nodes; positive nodes; number of positive nodes; "
    "node; nodes; nodal; node status; nodal state; nodal involvement; ln; ln status; lnm; ln metastasis; lymph node metastasis; lymph node metastases; "
    "lymph node involvement; lymph node invasion; n category; ganglions; ganglios; linfonodi",
    "m stage": "m stage; pm; pm stage; ajcc pathologic m; pathologic m; path m stage; m status; ajcc m",
    "grade": "grade; tumor grade; tumour grade; histologic grade; histological grade; who grade; tgrade; grading; g; differentiation; "
    "tumor differentiation; gleason; gleason score; isup; isup grade; fuhrman; fuhrman grade; nuclear grade; grado; differenzierung; graad; 分级; 分化",
    "smoking": "smoking; smoker; smoking status; smoking history; tobacco; tobacco smoking history; raucher; raucherstatus; tabac; tabagisme; "
    "tabaquismo; fumo; pack years; packyears; 吸烟",
    "ecog": "ecog; ecog ps; performance status; ps; ph ecog; karnofsky; kps; who ps",
    "size": "tumor size; tumour size; tsize; size cm; size mm; tumorgrosse; tumor size mm; tumor size cm; taille tumorale",
    "menopause": "menopause; menostat; menopausal status; menopause status",
}
"""Covariate -> its usual headers. The whole header must match; units, brackets and `QUALIFIERS` are ignored."""

QUALIFIERS = (
    "pathologic; pathological; clinical; baseline; initial; ajcc; uicc; edition; ed; 6th; 7th; 8th; 9th"
)
"""Words in a covariate's header that state how or when it was determined."""

SUBGROUPS = (
    "subtype; molecular subtype; molecular type; molecular class; tumor subtype; tumour subtype; intrinsic subtype; consensus subtype; sclc subtype; pam50; cms; "
    "histology; histologic type; histological type; histologic subtype; histological subtype; histotype; growth pattern; lauren; "
    "ne; ne status; ne type; ne subtype; neuroendocrine; neuroendocrine status; msi; msi status; mmr; mmr status; egfr; egfr status; kras; kras status; "
    "braf; braf status; alk; alk status; idh; idh status; tp53; tp53 status; er; er status; pr; pr status; her2; her2 status; hpv; hpv status; p16; p16 status; "
    "ebv; ebv status; subtyp; histologie; sous type; subtipo; sottotipo; 亚型; 分型"
)
"""Usual headers of molecular and histological subtypes, whose strata are shown."""

TREATMENTS = (
    "chemo; chemotherapy; adjuvant; adjuvant chemotherapy; adjuvant chemo; adjuvant therapy; adjuvant treatment; neoadjuvant; neoadjuvant therapy; act; "
    "arm; treatment arm; trt; rx; radiotherapy; radiation; radiation therapy; horth; hormone therapy; hormonal therapy; immunotherapy; "
    "chemotherapie; strahlentherapie; radiotherapie; quimioterapia; radioterapia; chemioterapia; 化疗; 放疗; adjuvante chemotherapie; chimiotherapie"
)
TREATMENT_WORDS = (
    "adjuvant; neoadjuvant; adj; neoadj; adjuvante; neoadjuvante; postoperative; postop; preoperative; preop; perioperative; induction; "
    "concurrent; consolidation; chemo; chemotherapy; chemoradiotherapy; chemoradiation; radiochemotherapy; radiotherapy; radiation; crt; ccrt; "
    "rt; rct; nact; nac; pci; immunotherapy; targeted; hormonal; endocrine; chemotherapie; radiochemotherapie; strahlentherapie; chimiotherapie; "
    "radiotherapie; quimioterapia; radioterapia; chemioterapia"
)
"""A header that consists of these words and of `TREATMENT_FILLERS` is a treatment."""

TREATMENT_FILLERS = (
    "therapy; treatment; therapie; behandlung; traitement; tratamiento; terapia; received; given; administered; based; cranial; thoracic; "
    "prophylactic; and; or; with; post; pre; op"
)

EVENT_VALUES = {
    "dead": "dead; deceased; died; death; expired; demised; exitus; exitus letalis; tot; verstorben; gestorben; todt; decede; decedee; deces; mort; morte; "
    "dcd; muerto; muerta; fallecido; fallecida; muerte; morto; morta; deceduto; deceduta; obito; overleden; dood; 死亡; 死",
    "dead of disease": "dead of disease; died of disease; death of disease; death from disease; dod; dead with tumor; dead with tumour; died of cancer; "
    "dead of cancer; death from cancer; cancer death; cancer related death; disease related death; died of tumor; tumor death; tumortod; tumorbedingt verstorben; "
    "died from cancer; died from disease; dead attributable to this cancer dx; dead attributable to this cancer; dead of tumor; deces lie au cancer; dead disease",
    "dead otherwise": "dead of other causes; died of other causes; dead of other cause; died of other cause; death from other causes; death of other causes; "
    "dead other; dead other causes; doc; doo; duc; other death; other cause; other causes; died of intercurrent disease; died of unrelated causes; dead without disease; "
    "non cancer death; dead of unrelated cause; dead of unknown cause; dead tumor free; dead with no evidence of disease; nicht tumorbedingt verstorben; "
    "dead attributable to causes other than this cancer dx",
    "alive": "alive; living; lives; live; lebend; lebt; am leben; lebendig; vivant; vivante; en vie; vivo; viva; vivente; in leven; levend; 存活; 生存; 活; "
    "survived; survivor; alive at last contact; alive at last follow up; no death",
    "alive with disease": "alive with disease; awd; alive with tumor; alive with tumour; living with disease; alive with recurrence; alive with metastasis; "
    "alive with relapse; lebend mit tumor; vivant avec maladie",
    "alive without disease": "alive without disease; alive with no evidence of disease; alive no evidence of disease; alive ned; ned; anwd; awod; "
    "no evidence of disease; alive disease free; alive and well; lebend ohne tumor; vivant sans maladie; alive tumor free",
    "not of disease": "alive or dead of other cause; alive or dead of other causes; alive or dead tumor free; alive or dead without disease",
    "event": "recurred; recurrence; relapse; relapsed; recurred progressed; recurrence progression; progressed; progression; progression recurrence; progressive disease; "
    "rezidiv; recidive; rechute; recidiva; recaida; recidief; local recurrence; locoregional recurrence; loco regional recurrence; regional recurrence; "
    "distant recurrence; distant metastasis; metastasis; metastases; metastasised; metastasized; new tumor; biochemical recurrence; "
    "lokalrezidiv; fernmetastase; 复发; 进展; 转移; 再発; failure; failed",
    "happened": "event; occurred; happened; ereignis; evenement; evento; had event",
    "no event": "disease free; diseasefree; recurrence free; relapse free; progression free; event free; metastasis free; no recurrence; not recurred; no relapse; "
    "non recurred; nonrecurrence; non recurrence; never recurred; none; no progression; not progressed; no event; no metastasis; tumor free; no disease; kein rezidiv; rezidivfrei; keine; pas de recidive; "
    "sans recidive; sin recidiva; nessuna recidiva; geen recidief; no failure; censored; censor; cens; zensiert; censure; censurado; 无复发; 无; 未复发; 删失; no new tumor",
    "yes": "yes; y; true; t; ja; j; oui; o; si; s; sim; wahr; vrai; verdadero; vero; 是; 有; はい",
    "no": "no; n; false; f; nein; non; nee; nao; falsch; faux; falso; 否; いいえ",
}
"""Meaning -> values of an event column that have it, apart from brackets and punctuation."""

MISSING = (
    "na; n/a; n.a.; n.a; #n/a; #na; nan; nat; null; none; <na>; nil; unknown; unk; unknown status; not known; not available; not applicable; not reported; not evaluated; "
    "not recorded; not stated; not assessed; not specified; not determined; not provided; not documented; not given; no data; no information; no info; "
    "missing; missing value; blank; (blank); discrepancy; redacted; cannot be assessed; unspecified; undetermined; indeterminate; unclear; "
    "unbekannt; unbek.; keine angabe; k.a.; k. a.; k.a; ka; keine angaben; fehlend; fehlt; nicht bekannt; nicht verfugbar; nicht erhoben; "
    "inconnu; inconnue; non connu; non renseigne; non disponible; manquant; nsp; desconocido; desconocida; no disponible; no consta; sin datos; "
    "sconosciuto; sconosciuta; non noto; non disponibile; non nota; mancante; onbekend; niet bekend; desconhecido; 未知; 不详; 缺失; 不明; 不明确; 无数据"
)
MISSING_SIGNS = frozenset(
    {"", ".", "..", "...", "-", "--", "---", "–", "—", "?", "??", "???", "*", "/", "\\", "_"}
)
SPREADSHEET_ERRORS = frozenset(
    {"#ref!", "#value!", "#div/0!", "#name?", "#null!", "#num!", "#error!", "#spill!", "#calc!"}
)
"""Errors of spreadsheets, which count as missing."""

DISCOVERY = (
    "discovery; training; train; derivation; development; dev; discovery cohort; training cohort; training set; train set; derivation cohort; "
    "discovery set; development cohort; development set; training data; entdeckung; entdeckungskohorte; trainingskohorte; training und entdeckung; apprentissage; "
    "entrenamiento; addestramento; trainingsset; 训练集; 训练; 发现队列"
)
"""Names that clearly denote the cohort that models are fitted on."""

SEXES = {
    "female": "f; female; w; weiblich; woman; frau; femme; feminin; femenino; mujer; femmina; vrouw; 女",
    "male": "m; male; man; mann; mannlich; maennlich; homme; masculin; masculino; hombre; maschio; 男",
}
ORDERED = (
    "very low; low; low intermediate; intermediate; medium; moderate; high intermediate; high; very high",
    "none; absent; minimal; mild; moderate; severe; very severe",
    "well; well differentiated; moderate; moderately; moderately differentiated; poor; poorly; poorly differentiated; undifferentiated; anaplastic",
    "never; never smoker; former; former smoker; ex; ex smoker; current; current smoker",
    "negative; equivocal; positive",
    "n0; n",
    "node negative; node positive",
    "m0; m",
    "negative; weak; moderate; strong",
    "localized; localised; local; regional; distant; metastatic",
    "small; medium; large",
    "early; intermediate; late; advanced",
    "pre; premenopausal; peri; perimenopausal; post; postmenopausal",
    "gut; massig; schlecht",
    "niedrig; mittel; hoch",
    "no; yes",
)
"""Ordered words, lowest first; a column is ordered if all its levels come from one line. ``N+`` is ``n``."""
