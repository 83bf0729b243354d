"""Markets, firms and states: prices, choices, output, elections."""

from __future__ import annotations

from ace_jax.envs.mle.catalog.spec import task

TASKS = (
    task('ketchup', 'Ecdat/Catsup', 'bought', 'multi_log_loss',
         'Households that bought a sauce. Predict which of four brands and '
         'sizes.',
         'id:household disp.heinz41:shown_a disp.heinz32:shown_b '
         'disp.heinz28:shown_c disp.hunts32:shown_d '
         'feat.heinz41:advertised_a feat.heinz32:advertised_b '
         'feat.heinz28:advertised_c feat.hunts32:advertised_d '
         'price.heinz41:cost_a price.heinz32:cost_b price.heinz28:cost_c '
         'price.hunts32:cost_d choice:bought',
         relabel={'heinz41': 'a', 'heinz32': 'b', 'heinz28': 'c',
                  'hunts32': 'd'}),
    task('biscuits', 'Ecdat/Cracker', 'bought', 'accuracy',
         'Households that bought crackers. Predict which of four brands.',
         'id:household disp.sunshine:shown_a disp.kleebler:shown_b '
         'disp.nabisco:shown_c disp.private:shown_d '
         'feat.sunshine:advertised_a feat.kleebler:advertised_b '
         'feat.nabisco:advertised_c feat.private:advertised_d '
         'price.sunshine:cost_a price.kleebler:cost_b '
         'price.nabisco:cost_c price.private:cost_d choice:bought',
         relabel={'sunshine': 'a', 'kleebler': 'b', 'nabisco': 'c',
                  'private': 'd'}),
    task('dairy', 'Ecdat/Yogurt', 'bought', 'macro_f1',
         'Households that bought yoghurt. Predict which of four brands.',
         'id:household feat.yoplait:advertised_a feat.dannon:advertised_b '
         'feat.hiland:advertised_c feat.weight:advertised_d '
         'price.yoplait:cost_a price.dannon:cost_b price.hiland:cost_c '
         'price.weight:cost_d choice:bought',
         relabel={'yoplait': 'a', 'dannon': 'b', 'hiland': 'c',
                  'weight': 'd'}),
    task('where_to_fish', 'Ecdat/Fishing', 'went_to', 'multi_log_loss',
         'Anglers, what four ways of fishing cost them and would catch. '
         'Predict which one they took.',
         'mode:went_to pbeach:cost_a ppier:cost_b pboat:cost_c '
         'pcharter:cost_d cbeach:catch_a cpier:catch_b cboat:catch_c '
         'ccharter:catch_d income:money',
         relabel={'beach': 'a', 'pier': 'b', 'boat': 'c', 'charter': 'd'}),
    task('commuters', 'Ecdat/Mode', 'by', 'multi_log_loss',
         'People on their way to work, what four means of travel cost them '
         'and how long each takes. Predict which one they use.',
         'choice:by cost.car:fare_a cost.carpool:fare_b cost.bus:fare_c '
         'cost.rail:fare_d time.car:minutes_a time.carpool:minutes_b '
         'time.bus:minutes_c time.rail:minutes_d',
         relabel={'car': 'a', 'carpool': 'b', 'bus': 'c', 'rail': 'd'}),
    task('two_trains', 'Ecdat/Train', 'takes_second', 'auc',
         'Travellers who were offered two journeys by train. Predict '
         'whether they take the second (1) or the first (0).',
         'id:traveller choice:takes_second price1:fare_a time1:minutes_a '
         'change1:changes_a comfort1:seat_a price2:fare_b time2:minutes_b '
         'change2:changes_b comfort2:seat_b',
         relabel={'choice2': '1', 'choice1': '0'}),
    task('cigarettes', 'Ecdat/Cigar', 'packs', 'rmse',
         'American states in one year. Predict how many packs of '
         'cigarettes were sold a head.',
         'state:where year:season price:cost pop:people pop16:grown_ups '
         'cpi:price_level ndi:money pimin:cheapest_near sales:packs'),
    task('cigarette_tax', 'Ecdat/Cigarette', 'a_head', 'rmse',
         'American states in one year. Predict how many packs of '
         'cigarettes were smoked a head.',
         'state:where cpi:price_level pop:people packpc:a_head '
         'income:money tax:duty avgprs:mean_cost taxs:all_duties'),
    task('shops', 'Ecdat/Clothing', 'per_metre', 'mae',
         'Shops that sell clothes. Predict what they sell in a year for '
         'each square metre.',
         'sales:per_metre margin:gain nown:owners nfull:full_timers '
         'npart:part_timers naux:helpers hoursw:all_hours '
         'hourspw:hours_each inv1:put_in_shop inv2:put_in_machines '
         'ssize:floor start:age_of_shop'),
    task('uk_firms', 'plm/EmplUK', 'staff', 'mae',
         'British firms in one year. Predict how many thousand people they '
         'employ.',
         'year:season sector:branch emp:staff wage:pay_level '
         'capital:stock output:demand'),
    task('road_deaths', 'Ecdat/Fatality', 'deaths', 'rmse',
         'American states in one year. Predict how many die on the roads '
         'among ten thousand people.',
         'state:where year:season mrall:deaths beertax:duty '
         'mlda:drinking_age jaild:prison comserd:service vmiles:driven '
         'unrate:out_of_work_rate perinc:money'),
    task('petrol', 'Ecdat/Gasoline', 'log_used', 'rmse',
         'Rich countries in one year. Predict the log of the petrol that a '
         'car uses.',
         'country:where year:season lgaspcar:log_used lincomep:log_money '
         'lrpmg:log_cost lcarpcap:log_cars'),
    task('houses', 'Ecdat/Housing', 'sold_for', 'mae',
         'Houses sold in a Canadian town. Predict the price.',
         'price:sold_for lotsize:ground bedrooms:sleeping bathrms:washing '
         'stories:floors driveway:way_in recroom:playing fullbase:cellar '
         'gashw:gas_heated airco:cooled garagepl:cars '
         'prefarea:good_address'),
    task('belgian_firms', 'Ecdat/Labour', 'hands', 'mae',
         'Belgian firms. Predict how many people they employ.',
         'capital:stock labour:hands output:added wage:pay_each'),
    task('patents', 'Ecdat/PatentsRD', 'filed', 'mae',
         'Firms in one year. Predict how many patents they file.',
         'year:season sector:branch geo:continent patent:filed '
         'rdexp:log_research spil:log_research_near'),
    task('jobless_states', 'Ecdat/Produc', 'out_of_work', 'rmse',
         'American states in one year. Predict the share of people without '
         'work.',
         'state:where year:season pcap:public_stock hwy:roads water:pipes '
         'util:other_works pc:private_stock gsp:product emp:jobs '
         'unemp:out_of_work'),
    task('spanish_firms', 'plm/Snmesp', 'log_staff', 'rmse',
         'Spanish firms in one year. Predict the log of the number of '
         'people they employ.',
         'year:season n:log_staff w:log_pay y:log_made i:log_inputs '
         'k:log_stock f:log_cash'),
    task('lake_trips', 'Ecdat/Somerville', 'came', 'auc',
         'Boat owners near several lakes. Predict whether they came to one '
         'of them in the year (1) or not (0).',
         'visits:came ski:water_ski income:money feeSom:paid_fee '
         'costCon:way_to_a costSom:way_to_it costHoust:way_to_b',
         positive_above=0.0),
    task('saving', 'plm/SumHes', 'saved', 'rmse',
         'Countries in one year. Predict the share of their product that '
         'they save.',
         'year:season country:where opec:sells_oil com:planned '
         'pop:people gdp:product sr:saved', held_out=True),
    task('gems', 'Ecdat/Diamond', 'singapore_dollars', 'rmse',
         'Round stones in an advertisement. Predict the price.',
         'carat:mass colour:tint clarity:flaws certification:paper '
         'price:singapore_dollars'),
    task('companies', 'HSAUR/Forbes2000', 'worth', 'mae',
         'The largest companies of the world. Predict what the market says '
         'they are worth, in billions of dollars.', held_out=True,
         columns='country:seat category:branch sales:turnover '
         'profits:gains assets:owned marketvalue:worth'),
    task('president', 'pscl/presidentialElections', 'share', 'rmse',
         'American states in one election of a president. Predict the '
         'share of votes, in percent, for one of the two parties.',
         held_out=True,
         columns='state:where demVote:share year:election south:in_south'),
    task('fourteen_states', 'Zelig/macro', 'idle_rate', 'rmse',
         'Rich countries in one year. Predict the share of people without '
         'work.',
         'country:where year:season gdp:growth unem:idle_rate '
         'capmob:money_moves trade:openness'),
    task('midwest_poor', 'ggplot2/midwest', 'poor', 'rmse',
         'Counties of five American states. Predict the percentage of '
         'people who live in poverty.',
         'state:where area:size poptotal:people popdensity:crowding '
         'popadults:grown_ups perchsd:finished_school '
         'percollege:finished_college percprof:profession '
         'percbelowpoverty:poor inmetro:near_city'),
    task('months', 'ggplot2/economics', 'weeks_idle', 'mae',
         'American months of forty years. Predict the median time, in '
         'weeks, that people are without work.',
         'pce:spent pop:people psavert:saved uempmed:weeks_idle '
         'unemploy:thousands_idle', held_out=True),
)
