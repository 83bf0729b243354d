"""Work and schooling: pay, hours, benefits, marks."""

from __future__ import annotations

from ace_jax.envs.mle.catalog.spec import Source, task


def _faraway(name: str) -> Source:
  return Source('faraway', f'faraway/datasets/{name}/{name}.csv.bz2')


TASKS = (
    task('pay_panel', 'plm/Wages', 'log_pay', 'rmse',
         'Heads of households in one of seven years. Predict the log of '
         'their pay.',
         'exp:years_worked wks:weeks_a_year bluecol:manual ind:in_factory '
         'south:lives_south smsa:lives_in_city married:has_spouse '
         'sex:gender union:in_union ed:years_taught lwage:log_pay'),
    task('young_men', 'plm/Males', 'log_rate', 'rmse',
         'Young men, each in one of eight years. Predict the log of the '
         'hourly rate they earn.',
         'year:survey_year school:taught exper:on_the_job union:by_contract '
         'married:has_wife health:hampered wage:log_rate industry:trade '
         'occupation:job residence:part_of_country'),
    task('second_look', 'Ecdat/Griliches', 'log_pay_late', 'rmse',
         'Young men who were asked twice, some years apart. Predict the log '
         'of what they earned at the second interview.',
         'rns:south_then rns80:south_now mrt:spouse_then mrt80:spouse_now '
         'smsa:city_then smsa80:city_now med:mother_taught iq:reasoning '
         'kww:job_quiz year:first_year age:age_then school:taught_then '
         'school80:taught_now expr:worked_then expr80:worked_now '
         'tenure:stay_then tenure80:stay_now lw:log_pay_early '
         'lw80:log_pay_late'),
    task('near_college', 'Ecdat/Schooling', 'pay_in_cents', 'mae',
         'Men in their late twenties. Predict what an hour of their work '
         'pays, in cents.',
         'smsa66:city_as_boy smsa76:city_later nearc2:two_year_near '
         'nearc4:four_year_near ed76:taught_by_end ed66:taught_at_start '
         'age76:years daded:father_taught momed:mother_taught '
         'momdad14:both_parents sinmom14:mother_alone step14:stepparent '
         'south66:south_as_boy south76:south_later wage76:pay_in_cents '
         'enroll76:still_enrolled kww:job_quiz iqscore:reasoning '
         'mar76:status libcrd14:card_for_books exp76:years_worked'),
    task('wives_at_work', 'Ecdat/Mroz', 'employed', 'auc',
         'Married couples. Predict whether the wife worked for pay in the '
         'year (1) or not (0).',
         'work:employed child6:infants child618:older_children agew:her_age '
         'educw:her_schooling hoursh:his_hours ageh:his_age '
         'educh:his_schooling wageh:his_rate income:family_total '
         'educwm:her_mother_taught educwf:her_father_taught '
         'unemprate:out_of_work_rate city:in_town experience:her_years',
         relabel={'yes': '1', 'no': '0'}),
    task('swiss_women', 'Ecdat/Participation', 'has_job', 'log_loss',
         'Married women in Switzerland. Predict whether they have a job (1) '
         'or not (0).',
         'lfp:has_job lnnlinc:log_other_money age:decades educ:taught '
         'nyc:small_children noc:big_children foreign:from_abroad',
         relabel={'yes': '1', 'no': '0'}),
    task('wives_hours', 'Ecdat/HI', 'week', 'mae',
         'Wives and how they are insured. Predict how many hours a week '
         'they work for pay.',
         'whrswk:week hhi:his_job_covers whi:her_job_covers '
         'hhi2:covered_by_him education:taught experience:years_out '
         'kidslt6:small_children kids618:big_children husby:his_money '
         'region:part_of_country'),
    task('women_earn', 'Ecdat/PSID', 'money', 'mae',
         'Women of thirty to fifty. Predict what they earned in the year.',
         'age:years educatn:taught earnings:money hours:worked '
         'kids:children married:status'),
    task('jobless_claim', 'Ecdat/Benefits', 'claimed', 'auc',
         'Manual workers who lost a job. Predict whether they drew '
         'unemployment insurance (1) or not (0).',
         'stateur:out_of_work_rate statemb:highest_benefit age:years '
         'tenure:years_there joblost:why_lost school12:finished_school '
         'sex:gender smsa:lives_in_city married:has_spouse '
         'dkids:any_children dykids:small_children yrdispl:year_lost '
         'rr:share_replaced head:heads_home ui:claimed',
         relabel={'yes': '1', 'no': '0'}),
    task('jobless_pay', 'Ecdat/UnempDur', 'log_last_pay', 'rmse',
         'People without work. Predict the log of the weekly pay in the job '
         'they lost.',
         'spell:fortnights age:years ui:insured reprate:share_replaced '
         'disrate:share_ignored logwage:log_last_pay tenure:years_there'),
    task('job_training', 'Ecdat/Treatment', 'third_year', 'mae',
         'Men before and after a course that some of them took. Predict '
         'what they earned three years later.',
         'treat:took_course age:years educ:taught married:has_spouse '
         're74:first_year re75:second_year re78:third_year '
         'u74:idle_first u75:idle_second'),
    task('professors', 'car/Salaries', 'nine_months', 'rmse',
         'Staff of a college. Predict what nine months of work pay them.',
         'rank:title discipline:department yrs.since.phd:since_degree '
         'yrs.service:years_here sex:gender salary:nine_months'),
    task('weekly_pay', _faraway('uswages'), 'dollars', 'mae',
         'Men who work for pay. Predict their weekly pay in dollars.',
         'wage:dollars educ:taught exper:years_worked smsa:lives_in_city '
         'ne:northeast mw:middle we:west pt:part_time'),
    task('dutch_pupils', 'MASS/nlschools', 'language_mark', 'rmse',
         'Pupils of eleven in the Netherlands. Predict their mark in a test '
         'of language.', held_out=True,
         columns='lang:language_mark IQ:verbal_reasoning class:group '
         'GS:group_size SES:family_standing COMB:mixed_years'),
    task('first_class', 'Ecdat/Star', 'sums', 'rmse',
         'Children in kindergarten. Predict their score in arithmetic.',
         'tmathssk:sums treadssk:letters classk:kind_of_group '
         'totexpk:teacher_years sex:gender freelunk:lunch_paid '
         'schidkn:place'),
    task('districts', 'Ecdat/Caschool', 'mean_mark', 'rmse',
         'School districts of California. Predict the mean mark of their '
         'pupils.',
         'grspan:years_taught enrltot:pupils teachers:staff '
         'calwpct:on_welfare mealpct:lunch_helped computer:machines '
         'testscr:mean_mark compstu:machines_each expnstu:spent_each '
         'str:pupils_per_teacher avginc:money_around elpct:still_learning'),
    task('entrance', 'psych/sat.act', 'composite', 'mae',
         'Volunteers who reported their marks in entrance examinations. '
         'Predict the composite mark of one from those of another.',
         'gender:sex education:level age:years ACT:composite '
         'SATV:words SATQ:numbers'),
    task('junior_maths', _faraway('jsp'), 'arithmetic', 'rmse',
         'Pupils of junior schools in one of three years. Predict their '
         'mark in mathematics.',
         'school:place class:room gender:sex social:fathers_class '
         'raven:puzzles english:reading math:arithmetic year:stage'),
)
